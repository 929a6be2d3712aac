"""The three headers of a customer key, right and wrong in every way that the contract knows.

Imported by the contract. A wrong trio comes with all that is wrong with it: which of it is answered is the profile's business.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ssecfs.server.profiles import Case, Md5Rule, Profile

TARGET_PREFIX: Final = "x-amz-server-side-encryption-customer-"
SOURCE_PREFIX: Final = "x-amz-copy-source-server-side-encryption-customer-"
ALGORITHM_ECHO: Final = TARGET_PREFIX + "algorithm"
MD5_ECHO: Final = TARGET_PREFIX + "key-md5"


def base64_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def md5_of(raw: bytes) -> str:
    return base64_of(hashlib.md5(raw).digest())


@dataclass(frozen=True)
class Trio:
    """Three headers, any of which may be missing."""

    algorithm: str | None
    encoded: str | None
    md5: str | None

    def headers(self, prefix: str = TARGET_PREFIX) -> dict[str, str]:
        """The headers; the prefix says whether they are those of the target or of a copy's source."""
        parts = {"algorithm": self.algorithm, "key": self.encoded, "key-MD5": self.md5}
        return {prefix + name: value for name, value in parts.items() if value is not None}

    def source_headers(self) -> dict[str, str]:
        return self.headers(SOURCE_PREFIX)

    @property
    def echo(self) -> dict[str, str]:
        """What an answer shows of it."""
        return {ALGORITHM_ECHO: "AES256", MD5_ECHO: self.md5 or ""}


def right_trio(secret: bytes) -> Trio:
    return Trio("AES256", base64_of(secret), md5_of(secret))


SHORT: Final = right_trio(b"k" * 31)
OTHER: Final = right_trio(b"the other customer key, 32 bytes")


def _guide_md5(trio: Trio) -> Trio:
    """The recipe of OVHcloud's guide: ``echo $encKey | md5sum | awk '{print $1}' | base64 -w0``."""
    digest = hashlib.md5(f"{trio.encoded}\n".encode()).hexdigest()
    return replace(trio, md5=base64_of(f"{digest}\n".encode()))


def _hex_md5(trio: Trio) -> Trio:
    return replace(trio, md5=base64.b64decode(trio.md5 or "").hex())


WRONG: Final[dict[str, tuple[Callable[[Trio], Trio], frozenset[Case]]]] = {
    name: (make, frozenset(cases))
    for name, make, *cases in (
        ("no algorithm", lambda trio: replace(trio, algorithm=None), Case.NO_ALGORITHM),
        ("key alone", lambda trio: Trio(None, trio.encoded, None), Case.NO_ALGORITHM, Case.NO_MD5),
        ("MD5 alone", lambda trio: Trio(None, None, trio.md5), Case.NO_ALGORITHM, Case.NO_KEY),
        ("algorithm alone", lambda _: Trio("AES256", None, None), Case.NO_KEY, Case.NO_MD5),
        ("AES128", lambda trio: replace(trio, algorithm="AES128"), Case.BAD_ALGORITHM),
        ("algorithm in lower case", lambda trio: replace(trio, algorithm="aes256"), Case.BAD_ALGORITHM),
        ("no key", lambda trio: replace(trio, encoded=None), Case.NO_KEY),
        ("no MD5", lambda trio: replace(trio, md5=None), Case.NO_MD5),
        ("31 bytes", lambda _: SHORT, Case.BAD_LENGTH),
        ("33 bytes", lambda _: right_trio(b"k" * 33), Case.BAD_LENGTH),
        ("encoded twice", lambda trio: right_trio((trio.encoded or "").encode()), Case.BAD_LENGTH),
        ("not base64", lambda trio: replace(trio, encoded="this is no base64!"), Case.NOT_BASE64, Case.BAD_MD5),
        ("MD5 of another key", lambda trio: replace(trio, md5=OTHER.md5), Case.BAD_MD5),
        ("MD5 of the base64", lambda trio: replace(trio, md5=md5_of((trio.encoded or "").encode())), Case.BAD_MD5),
        ("MD5 in hex", _hex_md5, Case.MALFORMED_MD5),
        ("MD5 of the guide", _guide_md5, Case.MALFORMED_MD5),
        ("AES128, no key", lambda trio: Trio("AES128", None, trio.md5), Case.BAD_ALGORITHM, Case.NO_KEY),
        ("31 bytes, no MD5", lambda _: replace(SHORT, md5=None), Case.BAD_LENGTH, Case.NO_MD5),
        ("31 bytes, MD5 of another", lambda _: replace(SHORT, md5=OTHER.md5), Case.BAD_LENGTH, Case.BAD_MD5),
        ("no algorithm, 31 bytes", lambda _: replace(SHORT, algorithm=None), Case.NO_ALGORITHM, Case.BAD_LENGTH),
    )
}


def wrong_trios(trio: Trio) -> dict[str, Trio]:
    """Every wrong trio, made from a right one."""
    return {name: make(trio) for name, (make, _) in WRONG.items()}


def answered_case(profile: Profile, name: str) -> Case | None:
    """Which of the cases of a wrong trio a service answers; None: it takes the trio."""
    cases = WRONG[name][1]
    if profile.md5_rule is Md5Rule.OPTIONAL:
        cases -= {Case.MALFORMED_MD5} if name == "MD5 of the guide" else {Case.NO_MD5}
    return next((case for case in profile.trio_order if case in cases), None)
