"""How real services differ, as one table. Pure data.

Imported by ``server``. A difference is a field here and one question to it in the code, never the name of a service. A profile
that says nothing of a field behaves as AWS does.

Source: recorded answers of AWS; sources of MinIO, Ceph, Garage and of OVHcloud's gateway; OVHcloud's guide of 2022.
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


class Conditions(Enum):
    """Which conditional uploads the service knows."""

    ALL = "all"
    NONE = "ignored"
    NOT_SSEC = "refused for SSE-C objects"


class Case(Enum):
    """What can be wrong with the keys of a request."""

    NO_ALGORITHM = "key or MD5 without algorithm"
    BAD_ALGORITHM = "algorithm other than AES256"
    NO_KEY = "algorithm without key"
    NO_MD5 = "key without MD5"
    BAD_LENGTH = "key not of 32 bytes"
    BAD_LENGTH_READ = "key not of 32 bytes, for an object that is there"
    BAD_MD5 = "MD5 of another key"
    KEYLESS = "read without key"
    WRONG_KEY = "read with another key"
    NOT_APPLICABLE = "key for a plain object"
    PART_KEY_MISSING = "part without the upload's key, or with one where it has none"
    PART_KEY_OTHER = "part with another key"


Answer = tuple[str, str]
"""Code and message; the status follows from the code, unless the profile names it in ``statuses``."""

_PROVIDED: Final = "Requests specifying Server Side Encryption with Customer provided keys must provide "
_OVH_BAD_LENGTH: Final = "x-amz-server-side-encryption-customer-key must be a base64 encoding of exactly 32 raw bytes"
_GARAGE_BAD_LENGTH: Final = "Invalid server-side-encryption-customer-key header: invalid length"
_BAD_LENGTH: Final = "The secret key was invalid for the specified algorithm."
_BAD_MD5: Final = "The calculated MD5 hash of the key did not match the hash that was provided."

AWS_ANSWERS: Final[Mapping[Case, Answer]] = {
    Case.NO_ALGORITHM: ("InvalidArgument", _PROVIDED + "a valid encryption algorithm."),
    Case.BAD_ALGORITHM: (
        "InvalidEncryptionAlgorithmError",
        "The Encryption request you specified is not valid. Supported value: AES256.",
    ),
    Case.NO_KEY: ("InvalidArgument", _PROVIDED + "an appropriate secret key."),
    Case.NO_MD5: ("InvalidArgument", _PROVIDED + "the client calculated MD5 of the secret key."),
    Case.BAD_LENGTH: ("InvalidArgument", _BAD_LENGTH),
    Case.BAD_LENGTH_READ: ("AccessDenied", _PROVIDED + "the correct secret key."),
    Case.BAD_MD5: ("InvalidArgument", _BAD_MD5),
    Case.KEYLESS: (
        "InvalidRequest",
        (
            "The object was stored using a form of Server Side Encryption. "
            "The correct parameters must be provided to retrieve the object."
        ),
    ),
    Case.WRONG_KEY: ("AccessDenied", _PROVIDED + "the correct secret key."),
    Case.NOT_APPLICABLE: ("InvalidRequest", "The encryption parameters are not applicable to this object."),
    Case.PART_KEY_MISSING: (
        "InvalidRequest",
        (
            "The multipart upload initiate requested encryption. "
            "Subsequent part requests must include the appropriate encryption parameters."
        ),
    ),
    Case.PART_KEY_OTHER: (
        "InvalidRequest",
        "The provided encryption parameters did not match the ones used originally.",
    ),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """One service's behaviour.

    Attributes:
        echoes_key: answers carry algorithm and key MD5.
        shows_version: heads carry a version id although the bucket is not versioned.
        answers: where they differ from AWS's.
        can_copy_ssec: copies SSE-C objects.
        completes_with_key: CompleteMultipartUpload of an SSE-C upload needs the key.
        can_read_trailers: knows the body form that ends in a checksum.
        both_conditions: what an upload with If-Match and If-None-Match gets.
    """

    name: str
    etags: ETags = ETags.RANDOM
    md5_rule: Md5Rule = Md5Rule.REQUIRED
    encryption: Encryption = Encryption.REAL
    conditions: Conditions = Conditions.ALL
    echoes_key: bool = True
    shows_version: bool = False
    can_copy_ssec: bool = True
    completes_with_key: bool = False
    can_read_trailers: bool = True
    both_conditions: Answer = ("NotImplemented", "A header you provided implies functionality that is not implemented")
    answers: Mapping[Case, Answer] = field(default_factory=dict)

    def error(self, case: Case, **details: str) -> S3Error:
        """The answer to a case."""
        code, message = self.answers.get(case, AWS_ANSWERS[case])
        return S3Error(code, message, **details)


_AWS: Final = Profile("aws")

_OVH: Final = Profile(
    "ovh",
    etags=ETags.MD5,
    md5_rule=Md5Rule.OPTIONAL,
    conditions=Conditions.NOT_SSEC,
    both_conditions=("InvalidRequest", "Multiple conditional request headers present in the request"),
    echoes_key=False,
    shows_version=True,
    answers={
        Case.WRONG_KEY: ("AccessDenied", "Invalid key"),
        Case.BAD_LENGTH: ("InvalidArgument", _OVH_BAD_LENGTH),
        Case.BAD_LENGTH_READ: ("InvalidArgument", _OVH_BAD_LENGTH),
    },
)

_CEPH: Final = Profile(
    "ceph",
    etags=ETags.MD5,
    completes_with_key=True,
    can_copy_ssec=False,
    answers={
        Case.BAD_ALGORITHM: (
            "InvalidEncryptionAlgorithmError",
            "The requested encryption algorithm is not valid, must be AES256.",
        ),
        Case.KEYLESS: ("InvalidArgument", _PROVIDED + "a valid encryption algorithm."),
        Case.WRONG_KEY: ("InvalidArgument", _BAD_MD5),
        Case.NO_MD5: ("InvalidArgument", _PROVIDED + "an appropriate secret key md5."),
        Case.BAD_LENGTH_READ: ("InvalidArgument", _BAD_LENGTH),
        Case.PART_KEY_OTHER: ("InvalidArgument", _BAD_MD5),
    },
)

_MINIO: Final = Profile(
    "minio",
    answers={
        Case.WRONG_KEY: ("AccessDenied", "Access Denied."),
        Case.BAD_LENGTH: ("AccessDenied", "Access Denied."),
        Case.BAD_LENGTH_READ: ("AccessDenied", "Access Denied."),
        Case.BAD_ALGORITHM: ("InvalidArgument", _PROVIDED + "a valid encryption algorithm."),
        Case.PART_KEY_OTHER: ("AccessDenied", "Access Denied."),
    },
)

_GARAGE: Final = Profile(
    "garage",
    conditions=Conditions.NONE,
    answers={
        Case.NO_ALGORITHM: ("InvalidRequest", "Unexpected server-side-encryption-customer-key{,-md5} header(s)"),
        Case.NO_KEY: ("InvalidRequest", "Missing server-side-encryption-customer-key header"),
        Case.NO_MD5: ("InvalidRequest", "Missing server-side-encryption-customer-key-md5 header"),
        Case.BAD_LENGTH: ("InvalidRequest", _GARAGE_BAD_LENGTH),
        Case.BAD_LENGTH_READ: ("InvalidRequest", _GARAGE_BAD_LENGTH),
        Case.BAD_MD5: ("InvalidRequest", "Server-side encryption client key MD5 checksum does not match"),
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
        replace(_AWS, name="ignores-ssec", encryption=Encryption.IGNORED),
        replace(_AWS, name="no-trailer", can_read_trailers=False),
        replace(_AWS, name="no-copy", can_copy_ssec=False),
    )
}
