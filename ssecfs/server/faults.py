"""Faults on request: what a client must survive, produced exactly when asked for. No I/O.

    KIND[=VALUE][,every=N][,count=N][,operation=NAME]

    latency=SECONDS   answers come later
    status=CODE       an error of that HTTP status instead of an answer; nothing is done
    throttle=N        more than N requests in a second: 503 SlowDown
    reset             the connection is reset in the middle of the client's body, else of the answer's, else before the answer
    short             the answer's body ends in the middle, with an orderly end of the connection
    lost-answer       everything is done, and the connection is reset instead of an answer
    error-in-200      copies and completions answer 200, and the body says that they failed; nothing is done

``every=N`` takes every N-th request that fits; ``count=N`` stops after N faults. Imported by ``server.service``,
``server.run`` and the run-time control.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ssecfs.server.errors import S3Error
from ssecfs.server.request import parse_number

LATE_FAILING: Final = frozenset({"CopyObject", "UploadPartCopy", "CompleteMultipartUpload"})
"""Operations that may answer 200 before they know whether they succeed."""

OPERATIONS: Final = LATE_FAILING | {
    "AbortMultipartUpload", "CreateBucket", "CreateMultipartUpload", "DeleteBucket", "DeleteBucketEncryption", "DeleteObject",
    "DeleteObjectTagging", "DeleteObjects", "GetBucketEncryption", "GetBucketLocation", "GetBucketVersioning", "GetObject",
    "GetObjectAttributes", "GetObjectTagging", "HeadBucket", "HeadObject", "ListBuckets", "ListMultipartUploads",
    "ListObjectVersions", "ListObjects", "ListObjectsV2", "ListParts", "PostObject", "PutBucketEncryption",
    "PutBucketVersioning", "PutObject", "PutObjectTagging", "UploadPart",
}  # fmt: skip
"""What a rule may be about: all operations but the control of the faults themselves."""

STATUS_CODES: Final = {
    400: "RequestTimeout",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    429: "SlowDown",
    500: "InternalError",
    503: "ServiceUnavailable",
    507: "XMinioStorageFull",
}


class FaultKind(Enum):
    """What goes wrong."""

    LATENCY = "latency"
    STATUS = "status"
    THROTTLE = "throttle"
    RESET = "reset"
    SHORT = "short"
    LOST_ANSWER = "lost-answer"
    ERROR_IN_200 = "error-in-200"


_WITH_VALUE: Final = frozenset({FaultKind.LATENCY, FaultKind.STATUS, FaultKind.THROTTLE})


class FaultTextError(Exception):
    """A text that describes no fault; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule.

    Attributes:
        value: seconds, status or requests in a second.
        every: of the requests that fit.
        count: faults at most; 0: no end.
        operation: as the request log names it; empty: all.
    """

    kind: FaultKind
    value: float
    every: int
    count: int
    operation: str

    def fits(self, operation: str) -> bool:
        """Tell whether a request for an operation counts."""
        if self.kind is FaultKind.ERROR_IN_200 and operation not in LATE_FAILING:
            return False
        return self.operation in {"", operation}

    def __str__(self) -> str:
        """The text of the rule; parse_fault is its inverse."""
        settings = {"every": self.every if self.every > 1 else "", "count": self.count or "", "operation": self.operation}
        value = f"={self.value}".removesuffix(".0") if self.kind in _WITH_VALUE else ""
        return "".join([self.kind.value, value, *(f",{name}={given}" for name, given in settings.items() if given)])


def parse_fault(text: str) -> Fault:
    """Parse one rule.

    Raises:
        FaultTextError: says what is wrong.
    """
    head, *rest = text.split(",")
    name, _, value_text = head.strip().partition("=")
    try:
        kind = FaultKind(name)
    except ValueError:
        message = f"{text!r}: there is no fault {name!r}; there are: {', '.join(kind.value for kind in FaultKind)}"
        raise FaultTextError(message) from None
    if bool(value_text) != (kind in _WITH_VALUE):
        message = f"{text!r}: {name} takes {'a value' if kind in _WITH_VALUE else 'no value'}"
        raise FaultTextError(message)
    settings = dict(item.strip().partition("=")[::2] for item in rest)
    unknown = sorted(settings.keys() - {"every", "count", "operation"})
    if unknown:
        message = f"{text!r}: {unknown[0]!r} is none of every, count and operation"
        raise FaultTextError(message)
    operation = settings.get("operation", "")
    known = LATE_FAILING if kind is FaultKind.ERROR_IN_200 else OPERATIONS
    if "operation" in settings and operation not in known:
        message = f"{text!r}: {name} knows no operation {operation!r}; there are: {', '.join(sorted(known))}"
        raise FaultTextError(message)
    return Fault(
        kind,
        _value(text, kind, value_text) if value_text else 0,
        _positive(text, settings.get("every", "1")),
        _positive(text, settings["count"]) if "count" in settings else 0,
        operation,
    )


def _value(text: str, kind: FaultKind, value_text: str) -> float:
    try:
        value = float(value_text)
    except ValueError:
        value = -1
    is_status = kind is FaultKind.STATUS
    if (is_status and value not in STATUS_CODES) or value <= 0 or not math.isfinite(value):
        known = f"one of {', '.join(map(str, STATUS_CODES))}" if is_status else "a number above 0"
        message = f"{text!r}: {kind.value} must be {known}"
        raise FaultTextError(message)
    return value


def _positive(text: str, number: str) -> int:
    value = parse_number(number)
    if not value:
        message = f"{text!r}: {number!r} is not a number above 0"
        raise FaultTextError(message)
    return value


def status_error(status: int) -> S3Error:
    """The error that a status stands for."""
    error = S3Error(STATUS_CODES[status], "This error was asked for.")
    error.status = status
    return error


def throttling_error() -> S3Error:
    """Too many requests."""
    return S3Error("SlowDown", "Please reduce your request rate.")


@dataclass(slots=True)
class _Counted:
    """A rule, and what it has seen: of all requests that fit, and, for throttling, of those in the current second."""

    fault: Fault
    seen: int = 0
    done: int = 0
    second_began_s: float = -math.inf
    in_this_second: int = 0


@dataclass(slots=True)
class Faults:
    """The rules in force. Owns: their counters."""

    clock: Callable[[], float] = time.monotonic
    _rules: list[_Counted] = field(default_factory=list)

    @property
    def rules(self) -> list[Fault]:
        """What is in force."""
        return [counted.fault for counted in self._rules]

    def replace(self, faults: Iterable[Fault]) -> None:
        """Put other rules in force; counting begins anew."""
        self._rules = [_Counted(fault) for fault in faults]

    def due(self, operation: str) -> list[Fault]:
        """Count a request; give what goes wrong with it."""
        return [counted.fault for counted in self._rules if self._is_due(counted, operation)]

    def _is_due(self, counted: _Counted, operation: str) -> bool:
        fault = counted.fault
        if not fault.fits(operation) or (fault.count and counted.done >= fault.count):
            return False
        counted.seen += 1
        if counted.seen % fault.every:
            return False
        if fault.kind is FaultKind.THROTTLE and not self._is_too_fast(counted):
            return False
        counted.done += 1
        return True

    def _is_too_fast(self, counted: _Counted) -> bool:
        now_s = self.clock()
        if now_s - counted.second_began_s >= 1:
            counted.second_began_s, counted.in_this_second = now_s, 0
        counted.in_this_second += 1
        return counted.in_this_second > counted.fault.value
