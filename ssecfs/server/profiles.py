"""How real services differ, as one table. Pure data.

Imported by ``server``. A difference is a field here and one question to it in the code, never the name of a service.

Source: DESIGN section 11 and the fact sheet behind it: OVHcloud's guide, recorded answers of AWS.
"""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Profile:
    """One service's behaviour.

    Attributes:
        echoes_key: answers carry algorithm and key MD5.
        shows_version: heads carry a version id although the bucket is not versioned.
        keyless: code and message for a read without the key.
        wrong_key: code and message for a read with another key.
    """

    name: str
    etags: ETags
    md5_rule: Md5Rule
    echoes_key: bool
    shows_version: bool
    keyless: tuple[str, str]
    wrong_key: tuple[str, str]

    def keyless_error(self) -> S3Error:
        """The answer to a read without the key."""
        return S3Error(*self.keyless)

    def wrong_key_error(self) -> S3Error:
        """The answer to a read with another key."""
        return S3Error(*self.wrong_key)


_AWS_KEYLESS: Final = (
    "InvalidRequest",
    (
        "The object was stored using a form of Server Side Encryption. "
        "The correct parameters must be provided to retrieve the object."
    ),
)

PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile(
            name="ovh",
            etags=ETags.MD5,
            md5_rule=Md5Rule.OPTIONAL,
            echoes_key=False,
            shows_version=True,
            keyless=_AWS_KEYLESS,
            wrong_key=("AccessDenied", "Invalid key"),
        ),
        Profile(
            name="aws",
            etags=ETags.RANDOM,
            md5_rule=Md5Rule.REQUIRED,
            echoes_key=True,
            shows_version=False,
            keyless=_AWS_KEYLESS,
            wrong_key=(
                "AccessDenied",
                "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key.",
            ),
        ),
    )
}
