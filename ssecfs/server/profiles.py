"""How real services differ, as one table. Pure data.

Imported by ``server``. A difference is a field or a row here and one question to it in the code, never the name of a service.
A profile that says nothing of a field or a case behaves as AWS does.

Source: recorded answers of AWS; sources of MinIO, Garage and of OVHcloud's gateway; OVHcloud's guide of 2022; the answers of
Ceph 16.2, which Debian ships. ``tests/t6_server/contract`` holds the server to this table, and the table to a Ceph gateway.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from ssecfs.server.errors import S3Error


class ETags(Enum):
    """What the ETag of an SSE-C object is."""

    MD5 = "plaintext MD5"
    RANDOM = "random"


class Md5Rule(Enum):
    """What is asked of the key-MD5 header."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    """May be missing; if it is there it is checked, and the recipe of OVHcloud's first guide is accepted too."""


class Encryption(Enum):
    """What the service makes of SSE-C headers."""

    REAL = "real"
    IGNORED = "ignored"
    """Accepted, echoed, and without any effect."""
    BLOCKED = "blocked"
    """Every bucket blocks SSE-C uploads, unless its encryption configuration says otherwise."""


class Echo(Enum):
    """Which answers show algorithm and key MD5."""

    ALL = "all"
    NOT_COPIES = "all but those of copies"
    NONE = "none"


class Write(Enum):
    """What makes or removes an object, and may have conditions."""

    PUT = "PutObject"
    COMPLETE = "CompleteMultipartUpload"
    COPY = "CopyObject"
    DELETE = "DeleteObject"


class SourceKey(Enum):
    """Which of the two keys of UploadPartCopy opens its source."""

    SOURCE = "the source's"
    TARGET = "the target's"


class Case(Enum):
    """What can be wrong with a request, where services differ."""

    TWO_KINDS = "upload with a customer key and with the service's own encryption"
    NO_ALGORITHM = "key or MD5 without algorithm"
    BAD_ALGORITHM = "algorithm other than AES256"
    NO_KEY = "algorithm without key"
    NO_MD5 = "key without MD5"
    NOT_BASE64 = "key not in base64"
    BAD_LENGTH = "key not of 32 bytes"
    BAD_LENGTH_READ = "key not of 32 bytes, for an object that is there"
    MALFORMED_MD5 = "MD5 that is none"
    BAD_MD5 = "MD5 of another key"
    SSE_ON_READ = "read that asks for the service's own encryption"
    KEYLESS = "read without key"
    WRONG_KEY = "read with another key"
    NOT_APPLICABLE = "key for a plain object"
    PART_KEY_MISSING = "part without the upload's key"
    PART_KEY_NEEDLESS = "part with a key where the upload has none"
    PART_KEY_OTHER = "part with another key"
    BLOCKED = "SSE-C upload to a bucket that blocks them"
    COPY_OF_SSEC = "copy of an SSE-C object"
    PART_COPY_OF_SSEC = "part copied from an SSE-C object"
    PART_ORDER = "parts completed out of order"
    TRAILER = "body that ends in a checksum"
    TRAILER_UNSIZED = "the same, in HTTP chunks"
    CONDITION_ON_SSEC = "upload with a customer key and a condition"
    TWO_CONDITIONS = "upload with If-Match and If-None-Match"
    MATCH_ANY = "upload with If-Match: *"
    MATCH_MISSING = "If-Match for what is not there"
    NONE_MATCH_ETAG = "upload with If-None-Match and an ETag"
    READ_MARKER = "read of a version that is a delete marker"
    NO_SUCH_VERSION = "read of a version that is not there"
    BUCKET_IS_YOURS = "creation of a bucket that is there"


Answer = tuple[str, str]
"""Code and message; the status follows from the code."""

_PROVIDED: Final = "Requests specifying Server Side Encryption with Customer provided keys must provide "
_NO_ALGORITHM: Final = ("InvalidArgument", _PROVIDED + "a valid encryption algorithm.")
_NO_KEY: Final = ("InvalidArgument", _PROVIDED + "an appropriate secret key.")
_BAD_LENGTH: Final = ("InvalidArgument", "The secret key was invalid for the specified algorithm.")
_BAD_MD5: Final = ("InvalidArgument", "The calculated MD5 hash of the key did not match the hash that was provided.")
_WRONG_KEY: Final = ("AccessDenied", _PROVIDED + "the correct secret key.")
_NO_PART_KEY: Final = (
    "InvalidRequest",
    (
        "The multipart upload initiate requested encryption. "
        "Subsequent part requests must include the appropriate encryption parameters."
    ),
)
_NOT_IMPLEMENTED: Final = ("NotImplemented", "A header you provided implies functionality that is not implemented")

TRIO_ORDER: Final = (
    Case.NO_ALGORITHM,
    Case.BAD_ALGORITHM,
    Case.NO_KEY,
    Case.NO_MD5,
    Case.NOT_BASE64,
    Case.BAD_LENGTH,
    Case.MALFORMED_MD5,
    Case.BAD_MD5,
)
"""In which order the three headers are checked; of several cases, the first is answered."""

AWS_ANSWERS: Final[Mapping[Case, Answer]] = {
    Case.TWO_KINDS: (
        "InvalidArgument",
        "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
    ),
    Case.NO_ALGORITHM: _NO_ALGORITHM,
    Case.BAD_ALGORITHM: (
        "InvalidEncryptionAlgorithmError",
        "The Encryption request you specified is not valid. Supported value: AES256.",
    ),
    Case.NO_KEY: _NO_KEY,
    Case.NO_MD5: ("InvalidArgument", _PROVIDED + "the client calculated MD5 of the secret key."),
    Case.NOT_BASE64: _BAD_LENGTH,
    Case.BAD_LENGTH: _BAD_LENGTH,
    Case.BAD_LENGTH_READ: _WRONG_KEY,
    Case.MALFORMED_MD5: _BAD_MD5,
    Case.BAD_MD5: _BAD_MD5,
    Case.SSE_ON_READ: ("InvalidArgument", "x-amz-server-side-encryption header is not supported for this operation."),
    Case.KEYLESS: (
        "InvalidRequest",
        (
            "The object was stored using a form of Server Side Encryption. "
            "The correct parameters must be provided to retrieve the object."
        ),
    ),
    Case.WRONG_KEY: _WRONG_KEY,
    Case.NOT_APPLICABLE: ("InvalidRequest", "The encryption parameters are not applicable to this object."),
    Case.PART_KEY_MISSING: _NO_PART_KEY,
    Case.PART_KEY_NEEDLESS: _NO_PART_KEY,
    Case.PART_KEY_OTHER: ("InvalidRequest", "The provided encryption parameters did not match the ones used originally."),
    Case.BLOCKED: ("AccessDenied", "Access Denied"),
    Case.COPY_OF_SSEC: _NOT_IMPLEMENTED,
    Case.PART_COPY_OF_SSEC: _NOT_IMPLEMENTED,
    Case.PART_ORDER: (
        "InvalidPartOrder",
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    Case.TRAILER: _NOT_IMPLEMENTED,
    Case.TRAILER_UNSIZED: _NOT_IMPLEMENTED,
    Case.CONDITION_ON_SSEC: _NOT_IMPLEMENTED,
    Case.TWO_CONDITIONS: _NOT_IMPLEMENTED,
    Case.MATCH_ANY: _NOT_IMPLEMENTED,
    Case.MATCH_MISSING: ("NoSuchKey", "The specified key does not exist."),
    Case.NONE_MATCH_ETAG: _NOT_IMPLEMENTED,
    Case.READ_MARKER: ("MethodNotAllowed", "The specified method is not allowed against this resource."),
    Case.NO_SUCH_VERSION: ("NoSuchVersion", "The specified version does not exist."),
    Case.BUCKET_IS_YOURS: (
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
}

_COPIES: Final = {Case.COPY_OF_SSEC, Case.PART_COPY_OF_SSEC}
_TRAILERS: Final = {Case.TRAILER, Case.TRAILER_UNSIZED}
_NEEDLESS_KEYS: Final = {Case.NOT_APPLICABLE, Case.PART_KEY_NEEDLESS}
_MISSING_KEYS: Final = {Case.KEYLESS, Case.WRONG_KEY, Case.PART_KEY_MISSING, Case.PART_KEY_OTHER}
_ODD_CONDITIONS: Final = {Case.TWO_CONDITIONS, Case.MATCH_ANY, Case.NONE_MATCH_ETAG}

AWS_ACCEPTS: Final = frozenset({*_COPIES, *_TRAILERS, Case.CONDITION_ON_SSEC})


@dataclass(frozen=True, slots=True)
class Profile:
    """One service's behaviour.

    Attributes:
        trio_order: in which order the three headers of a key are checked.
        encrypts_by_default: buckets show an encryption that they were not given, and objects without a key that they have it.
        shows_version: heads carry a version id although the bucket is not versioned.
        answers: where they differ from AWS's.
        accepts: the cases that are served all the same.
        conditional: on which requests If-Match and If-None-Match have an effect.
        unquotes_etags: the ETags in an upload's conditions may be in quotes; else only a bare one ever matches.
        encrypts_copies: CopyObject seals with the target's key; else it ignores it, and the copy is plain.
        part_copy_key: which key opens the source of UploadPartCopy.
        checks_completion_key: CompleteMultipartUpload looks at a key; it needs one where the upload has a checksum.
        names_completed: CompleteMultipartUpload tells the new ETag; else its place in the answer is empty.
        quotes_copied: CopyObject and UploadPartCopy tell the new ETag in quotes.
        reads_parts: GET and HEAD know partNumber.
        takes_first_range: a read of several ranges gets the first of them, not the whole object.
        unknown_queries: query parameters that have no effect, whatever they ask for.
        unknown_headers: beginnings of the names of headers that have none.
    """

    name: str
    etags: ETags = ETags.RANDOM
    md5_rule: Md5Rule = Md5Rule.REQUIRED
    trio_order: tuple[Case, ...] = TRIO_ORDER
    encryption: Encryption = Encryption.REAL
    echo: Echo = Echo.ALL
    encrypts_by_default: bool = True
    shows_version: bool = False
    conditional: frozenset[Write] = frozenset(Write)
    unquotes_etags: bool = True
    encrypts_copies: bool = True
    part_copy_key: SourceKey = SourceKey.SOURCE
    checks_completion_key: bool = True
    names_completed: bool = True
    quotes_copied: bool = True
    reads_parts: bool = True
    takes_first_range: bool = False
    unknown_queries: frozenset[str] = frozenset()
    unknown_headers: tuple[str, ...] = ()
    answers: Mapping[Case, Answer] = field(default_factory=dict)
    accepts: frozenset[Case] = AWS_ACCEPTS

    def error(self, case: Case, **details: str) -> S3Error:
        """The answer to a case."""
        code, message = self.answers.get(case, AWS_ANSWERS[case])
        return S3Error(code, message, **details)

    def refuse(self, case: Case, **details: str) -> None:
        """Answer a case, unless it is accepted.

        Raises:
            S3Error: the answer.
        """
        if case not in self.accepts:
            raise self.error(case, **details)

    @property
    def has_checksums(self) -> bool:
        """Checksums are checked, kept and given out."""
        return "x-amz-checksum-" not in self.unknown_headers


def _each(answer: Answer, *cases: Case) -> dict[Case, Answer]:
    return dict.fromkeys(cases, answer)


_AWS: Final = Profile("aws")

_OVH: Final = Profile(
    "ovh",
    etags=ETags.MD5,
    md5_rule=Md5Rule.OPTIONAL,
    trio_order=(Case.NO_KEY, Case.NO_ALGORITHM, *TRIO_ORDER),
    echo=Echo.NONE,
    encrypts_by_default=False,
    shows_version=True,
    conditional=frozenset(Write) - {Write.COPY},
    answers={
        Case.NO_KEY: ("InvalidArgument", "Missing X-Amz-Server-Side-Encryption-Customer-Key header"),
        Case.NO_ALGORITHM: ("InvalidArgument", "Missing X-Amz-Server-Side-Encryption-Customer-Algorithm header"),
        **_each(
            (
                "InvalidArgument",
                "X-Amz-Server-Side-Encryption-Customer-Key header must be a base64 encoding of exactly 32 raw bytes",
            ),
            Case.NOT_BASE64,
            Case.BAD_LENGTH,
            Case.BAD_LENGTH_READ,
        ),
        Case.KEYLESS: ("InvalidRequest", "Missing X-Amz-Server-Side-Encryption-Customer-Key header"),
        Case.WRONG_KEY: ("AccessDenied", "Invalid key"),
        Case.TWO_CONDITIONS: ("InvalidRequest", "Multiple conditional request headers present in the request"),
    },
    accepts=AWS_ACCEPTS - {Case.CONDITION_ON_SSEC} | {Case.MATCH_ANY},
)

_CEPH: Final = Profile(
    "ceph",
    etags=ETags.MD5,
    trio_order=(
        Case.NO_ALGORITHM,
        Case.BAD_ALGORITHM,
        Case.NO_KEY,
        Case.NOT_BASE64,
        Case.BAD_LENGTH,
        Case.NO_MD5,
        Case.MALFORMED_MD5,
        Case.BAD_MD5,
    ),
    echo=Echo.NOT_COPIES,
    encrypts_by_default=False,
    conditional=frozenset({Write.PUT}),
    unquotes_etags=False,
    encrypts_copies=False,
    part_copy_key=SourceKey.TARGET,
    checks_completion_key=False,
    names_completed=False,
    quotes_copied=False,
    reads_parts=False,
    takes_first_range=True,
    unknown_queries=frozenset({"attributes", "encryption"}),
    unknown_headers=("x-amz-checksum-", "x-amz-sdk-", "x-amz-copy-source-if-", "x-amz-if-match-"),
    answers={
        Case.BAD_ALGORITHM: (
            "InvalidEncryptionAlgorithmError",
            "The requested encryption algorithm is not valid, must be AES256.",
        ),
        **_each(_NO_KEY, Case.NOT_BASE64, Case.BAD_LENGTH, Case.BAD_LENGTH_READ),
        **_each(("InvalidArgument", _PROVIDED + "an appropriate secret key md5."), Case.NO_MD5, Case.MALFORMED_MD5),
        **_each(_NO_ALGORITHM, Case.KEYLESS, Case.PART_KEY_MISSING),
        **_each(_BAD_MD5, Case.WRONG_KEY, Case.PART_KEY_OTHER),
        Case.SSE_ON_READ: ("InvalidRequest", ""),
        Case.COPY_OF_SSEC: ("NotImplemented", ""),
        Case.TRAILER: ("XAmzContentSHA256Mismatch", ""),
        Case.TRAILER_UNSIZED: ("MissingContentLength", ""),
        Case.MATCH_MISSING: ("PreconditionFailed", ""),
        **_each(("NoSuchKey", ""), Case.READ_MARKER, Case.NO_SUCH_VERSION),
    },
    accepts=frozenset({Case.TWO_KINDS, Case.PART_COPY_OF_SSEC, Case.CONDITION_ON_SSEC, *_NEEDLESS_KEYS, *_ODD_CONDITIONS})
    | {Case.PART_ORDER, Case.BUCKET_IS_YOURS},
)

_MINIO: Final = Profile(
    "minio",
    encrypts_by_default=False,
    answers={
        Case.BAD_ALGORITHM: _NO_ALGORITHM,
        **_each(
            ("AccessDenied", "Access Denied."),
            Case.NOT_BASE64,
            Case.BAD_LENGTH,
            Case.BAD_LENGTH_READ,
            Case.WRONG_KEY,
            Case.PART_KEY_OTHER,
        ),
    },
)

_GARAGE: Final = Profile(
    "garage",
    trio_order=_CEPH.trio_order,
    encrypts_by_default=False,
    conditional=frozenset(),
    answers={
        Case.NO_ALGORITHM: ("InvalidRequest", "Unexpected server-side-encryption-customer-key{,-md5} header(s)"),
        Case.NO_KEY: ("InvalidRequest", "Missing server-side-encryption-customer-key header"),
        Case.NO_MD5: ("InvalidRequest", "Missing server-side-encryption-customer-key-md5 header"),
        Case.NOT_BASE64: ("InvalidRequest", "Invalid server-side-encryption-customer-key header: invalid base64"),
        **_each(
            ("InvalidRequest", "Invalid server-side-encryption-customer-key header: invalid length"),
            Case.BAD_LENGTH,
            Case.BAD_LENGTH_READ,
        ),
        **_each(
            ("InvalidRequest", "Server-side encryption client key MD5 checksum does not match"),
            Case.MALFORMED_MD5,
            Case.BAD_MD5,
        ),
        Case.KEYLESS: ("InvalidRequest", "Object is encrypted"),
        Case.WRONG_KEY: ("InvalidRequest", "Invalid encryption key, could not decrypt object metadata."),
        Case.NOT_APPLICABLE: ("InvalidRequest", "Trying to decrypt a plaintext object"),
    },
)

PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        _OVH,
        _AWS,
        _CEPH,
        _MINIO,
        _GARAGE,
        replace(_AWS, name="blocked", encryption=Encryption.BLOCKED),
        replace(_AWS, name="ignores-ssec", encryption=Encryption.IGNORED, accepts=AWS_ACCEPTS | _NEEDLESS_KEYS | _MISSING_KEYS),
        replace(_AWS, name="no-trailer", accepts=AWS_ACCEPTS - _TRAILERS),
        replace(_AWS, name="no-copy", accepts=AWS_ACCEPTS - _COPIES),
    )
}
