"""The form of an upload from a web page, turned into an ordinary upload. The policy in the form is what is signed.

Imported by ``server.service``, which runs PostObject with what comes out.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from ssecfs.server.authentication import parse_credential, parse_moment, require_same, secret_of
from ssecfs.server.body import Body, Receive
from ssecfs.server.call import META_PREFIX
from ssecfs.server.errors import S3Error
from ssecfs.server.forms import Form
from ssecfs.server.policies import Policy, parse_policy
from ssecfs.server.request import MAX_OBJECT_KEY_BYTES, Request, header_value
from ssecfs.server.sigv4 import ALGORITHM, UNSIGNED, Signed, signing_key
from ssecfs.server.tags import checked_tags, tags_of_document

STATUS_FIELD: Final = "success_action_status"
REDIRECT_FIELDS: Final = ("success_action_redirect", "redirect")
_AS_HEADERS: Final = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-type",
    "expires",
    STATUS_FIELD,
    *REDIRECT_FIELDS,
)
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_AS_HEADERS_PREFIXES: Final = (META_PREFIX, "x-amz-server-side-encryption", "x-amz-checksum-")


async def read_form(request: Request, receive: Receive, secrets: Mapping[str, str], now_s: float) -> tuple[Request, Body]:
    """The upload that a form stands for: its request, with the fields as headers, and its body.

    Raises:
        S3Error: the form is malformed, unsigned, or asks for what its policy does not allow.
    """
    form = Form(request.headers.get("content-type", ""), receive)
    fields = await form.read_fields()
    signed = check_form_signature(fields, secrets)
    policy = parse_policy(fields["policy"], now_s)
    object_key = fields.get("key", "").replace("${filename}", form.file_name)
    policy.check(fields | {"bucket": request.bucket, "key": object_key})
    if not object_key or len(object_key.encode()) > MAX_OBJECT_KEY_BYTES or "\0" in object_key:
        raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'key'.", ArgumentName="key")
    upload = replace(request, object_key=object_key, headers=_headers(fields))
    return upload, Body(upload, signed, _Limited(form, policy).next)


def check_form_signature(fields: Mapping[str, str], secrets: Mapping[str, str]) -> Signed:
    """Check the signature of a policy.

    Raises:
        S3Error: as for signatures by header.
    """
    if "policy" not in fields:
        raise S3Error("AccessDenied", "Access Denied")
    if fields.get("x-amz-algorithm") != ALGORITHM:
        message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
        raise S3Error("InvalidRequest", message)
    scope, moment = parse_credential(fields.get("x-amz-credential", "")), fields.get("x-amz-date", "")
    if scope is None or parse_moment(moment) is None or not moment.startswith(scope.date):
        raise S3Error("AuthorizationHeaderMalformed", "The credential or the date in your POST request is malformed.")
    derived = signing_key(secret_of(scope.access_key_id, secrets), scope.date, scope.region)
    wanted = hmac.digest(derived, fields["policy"].encode(), "sha256").hex()
    require_same(wanted, fields.get("x-amz-signature", ""), scope.access_key_id)
    return Signed(scope.access_key_id, UNSIGNED, wanted, derived, moment, scope.text)


class _Limited:
    """The file of a form, as long as the policy allows its size."""

    def __init__(self, form: Form, policy: Policy) -> None:
        self._form = form
        self._range = policy.size_range
        self._size = 0

    async def next(self) -> bytes | None:
        piece = await self._form.next()
        self._size += len(piece or b"")
        if self._range is not None and self._size > self._range[1]:
            message = "Your proposed upload exceeds the maximum allowed size"
            raise S3Error("EntityTooLarge", message, MaxSizeAllowed=str(self._range[1]))
        if self._range is not None and piece is None and self._size < self._range[0]:
            message = "Your proposed upload is smaller than the minimum allowed size"
            raise S3Error("EntityTooSmall", message, MinSizeAllowed=str(self._range[0]))
        return piece


def _headers(fields: Mapping[str, str]) -> dict[str, str]:
    """The headers that the fields stand for.

    Raises:
        S3Error: InvalidArgument: no header can be called so, or carry such a value.
    """
    meant = {name: value for name, value in fields.items() if name in _AS_HEADERS or name.startswith(_AS_HEADERS_PREFIXES)}
    bad = next((name for name in meant if not _HEADER_NAME.fullmatch(name)), None)
    if bad is not None:
        raise S3Error("InvalidArgument", "A field has a name that no header can have.", ArgumentName=bad)
    headers = {name: header_value(value) for name, value in meant.items()}
    if "tagging" in fields:
        tags = checked_tags(tags_of_document(fields["tagging"].encode()))
        headers["x-amz-tagging"] = urlencode(tags)
    return headers
