"""The table of profiles: complete, without dead rows, the only place of differences, and as the sources of the services say."""

import ast
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from ssecfs.app.options import PROFILE_NAMES
from ssecfs.server.errors import STATUSES
from ssecfs.server.options import ServerOptions
from ssecfs.server.profiles import AWS_ANSWERS, PROFILES, TRIO_ORDER, Case, Profile

SERVER: Final = Path(__file__).parents[2] / "ssecfs" / "server"
PROVIDED: Final = "Requests specifying Server Side Encryption with Customer provided keys must provide "
NOT_APPLICABLE: Final = "The encryption parameters are not applicable to this object."
BAD_MD5: Final = "The calculated MD5 hash of the key did not match the hash that was provided."

each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


@cache
def attributes_asked_for() -> frozenset[str]:
    """The names of all attributes that the server reads outside of the table: ``profile.etags``, ``Case.NO_KEY``."""
    trees = [ast.parse(path.read_text()) for path in SERVER.rglob("*.py") if path.name != "profiles.py"]
    return frozenset(node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute))


@cache
def texts_in_the_code() -> frozenset[str]:
    trees = [ast.parse(path.read_text()) for path in SERVER.rglob("*.py") if path.name not in {"profiles.py", "options.py"}]
    constants = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return frozenset(node.value for node in constants if isinstance(node.value, str))


def test_the_command_line_offers_the_profiles_and_starts_with_that_of_the_guide() -> None:
    assert list(PROFILES) == list(PROFILE_NAMES)
    assert ServerOptions(Path()).profile == "ovh"


@pytest.mark.parametrize("name", [field.name for field in fields(Profile) if field.name not in {"name", "answers", "accepts"}])
def test_every_field_is_asked_for(name: str) -> None:
    assert name in attributes_asked_for()


@pytest.mark.parametrize("case", Case)
def test_every_case_is_answered_and_asked_for(case: Case) -> None:
    assert AWS_ANSWERS[case][0] in STATUSES
    assert case in TRIO_ORDER or case.name in attributes_asked_for()


def test_no_name_of_a_service_steers_the_server() -> None:
    assert set(PROFILES) & texts_in_the_code() == set()
    texts = [path.read_text() for path in SERVER.rglob("*.py") if path.name != "profiles.py"]
    assert not any(re.search(r"profile\.name\b", text) for text in texts)


@each_profile
def test_profile_says_only_what_differs_and_can_happen(profile: Profile) -> None:
    assert {case for case, answer in profile.answers.items() if answer == AWS_ANSWERS[case]} == set()
    assert profile.accepts & set(profile.answers) == set()
    assert {code for code, _ in profile.answers.values()} <= set(STATUSES)


@each_profile
def test_profile_orders_all_that_can_be_wrong_with_a_trio(profile: Profile) -> None:
    assert set(profile.trio_order) == set(TRIO_ORDER)
    assert profile.accepts & set(TRIO_ORDER) == set()


def test_no_two_profiles_are_the_same() -> None:
    alike = [[getattr(profile, field.name) for field in fields(Profile)][1:] for profile in PROFILES.values()]
    assert all(alike.count(values) == 1 for values in alike)


@pytest.mark.parametrize(
    ("name", "case", "status", "code", "message"),
    [
        ("minio", Case.WRONG_KEY, 403, "AccessDenied", "Access Denied."),
        ("minio", Case.BAD_ALGORITHM, 400, "InvalidArgument", f"{PROVIDED}a valid encryption algorithm."),
        ("minio", Case.NO_KEY, 400, "InvalidArgument", f"{PROVIDED}an appropriate secret key."),
        ("minio", Case.BAD_LENGTH, 403, "AccessDenied", "Access Denied."),
        ("minio", Case.NOT_BASE64, 403, "AccessDenied", "Access Denied."),
        ("minio", Case.BAD_MD5, 400, "InvalidArgument", BAD_MD5),
        ("minio", Case.NOT_APPLICABLE, 400, "InvalidRequest", NOT_APPLICABLE),
        ("minio", Case.PART_KEY_OTHER, 403, "AccessDenied", "Access Denied."),
        ("ceph", Case.WRONG_KEY, 400, "InvalidArgument", BAD_MD5),
        ("ceph", Case.KEYLESS, 400, "InvalidArgument", f"{PROVIDED}a valid encryption algorithm."),
        (
            "ceph",
            Case.BAD_ALGORITHM,
            400,
            "InvalidEncryptionAlgorithmError",
            "The requested encryption algorithm is not valid, must be AES256.",
        ),
        ("ceph", Case.NO_MD5, 400, "InvalidArgument", f"{PROVIDED}an appropriate secret key md5."),
        ("ceph", Case.COPY_OF_SSEC, 501, "NotImplemented", ""),
        (
            "garage",
            Case.WRONG_KEY,
            400,
            "InvalidRequest",
            "Invalid encryption key, could not decrypt object metadata.",
        ),
        ("garage", Case.KEYLESS, 400, "InvalidRequest", "Object is encrypted"),
        (
            "garage",
            Case.NO_ALGORITHM,
            400,
            "InvalidRequest",
            "Unexpected server-side-encryption-customer-key{,-md5} header(s)",
        ),
        ("garage", Case.NO_KEY, 400, "InvalidRequest", "Missing server-side-encryption-customer-key header"),
        ("garage", Case.NO_MD5, 400, "InvalidRequest", "Missing server-side-encryption-customer-key-md5 header"),
        ("garage", Case.BAD_MD5, 400, "InvalidRequest", "Server-side encryption client key MD5 checksum does not match"),
        ("garage", Case.NOT_APPLICABLE, 400, "InvalidRequest", "Trying to decrypt a plaintext object"),
        ("ovh", Case.WRONG_KEY, 403, "AccessDenied", "Invalid key"),
        ("ovh", Case.KEYLESS, 400, "InvalidRequest", "Missing X-Amz-Server-Side-Encryption-Customer-Key header"),
        ("ovh", Case.NOT_APPLICABLE, 400, "InvalidRequest", NOT_APPLICABLE),
        ("blocked", Case.BLOCKED, 403, "AccessDenied", "Access Denied"),
    ],
)
def test_profile_answers_as_the_source_of_its_service(name: str, case: Case, status: int, code: str, message: str) -> None:
    error = PROFILES[name].error(case)
    assert (error.status, error.code, error.message) == (status, code, message)
    assert case not in PROFILES[name].accepts
