"""The policy of a form upload: what whoever signed it allows. No I/O. Imported by the form upload.

Source: "Browser-Based Uploads Using POST", "POST Policy".
"""

import base64
import calendar
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ssecfs.server.errors import S3Error

UNCHECKED: Final = frozenset({"policy", "x-amz-signature", "file", "submit"})


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that has not expired.

    Attributes:
        conditions: as parsed.
        size_range: allowed bytes of the file, both ends included.
    """

    conditions: tuple[tuple[str, str, str], ...]
    size_range: tuple[int, int] | None

    def check(self, fields: Mapping[str, str]) -> None:
        """Check the fields of a form; each that means something must be allowed by a condition.

        Args:
            fields: by lower-case name, ``bucket`` among them.

        Raises:
            S3Error: AccessDenied.
        """
        for operator, name, wanted in self.conditions:
            value = fields.get(name, "")
            holds = value == wanted if operator == "eq" else value.startswith(wanted)
            if not holds:
                shown = f'["{operator}", "${name}", "{wanted}"]'
                raise S3Error("AccessDenied", f"Invalid according to Policy: Policy Condition failed: {shown}")
        allowed = {name for _, name, _ in self.conditions} | UNCHECKED
        extra = sorted(name for name in fields if name not in allowed and not name.startswith("x-ignore-") and name != "bucket")
        if extra:
            raise S3Error("AccessDenied", f"Invalid according to Policy: Extra input fields: {extra[0]}")


def parse_policy(encoded: str, now_s: float) -> Policy:
    """Parse a policy document.

    Raises:
        S3Error: malformed, or expired.
    """
    try:
        document = json.loads(base64.b64decode(encoded, validate=True))
        expires_s = calendar.timegm(time.strptime(document["expiration"].partition(".")[0].rstrip("Z"), "%Y-%m-%dT%H:%M:%S"))
        conditions = [_condition(item) for item in document["conditions"]]
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid JSON.") from error
    if now_s > expires_s:
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
    ranges = [(int(low), int(high)) for operator, low, high in conditions if operator == "content-length-range"]
    matches = tuple(condition for condition in conditions if condition[0] != "content-length-range")
    return Policy(matches, ranges[0] if ranges else None)


def _condition(item: Any) -> tuple[str, str, str]:  # noqa: ANN401 - JSON
    if isinstance(item, dict):
        ((name, value),) = item.items()
        return "eq", str(name).lower(), str(value)
    operator, name, value = item
    operator = str(operator).lower()
    if operator == "content-length-range":
        return operator, str(int(name)), str(int(value))
    if operator not in {"eq", "starts-with"} or not str(name).startswith("$"):
        raise ValueError(operator)
    return operator, str(name)[1:].lower(), str(value)
