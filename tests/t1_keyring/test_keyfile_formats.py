"""Every form of a keyfile that is accepted, and what each wrong one is called."""

import base64
import hashlib
import subprocess

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ssecfs.errors import KeyfileError
from ssecfs.keyring.keyfile import parse_keyfile
from ssecfs.ssec import CustomerKey

RAMP = bytes(range(32))
RAMP_BASE64 = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER = bytes(range(100, 132))

secrets_of_32 = st.binary(min_size=32, max_size=32)
labels = st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_.@-é", min_size=1, max_size=20)
line_ends = st.sampled_from(["\n", "\r\n"])


def is_typed(content: bytes) -> bool:
    """Whether it could have been typed: printable ASCII that ends in a newline."""
    return content.endswith(b"\n") and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in content)


@given(secret=secrets_of_32)
def test_file_of_32_bytes_is_the_raw_key(secret: bytes) -> None:
    assume(secret.strip() and not is_typed(secret))
    assert parse_keyfile(secret).customer_keys == (CustomerKey(secret),)


@pytest.mark.parametrize(
    "secret",
    [
        bytes(31) + b"\1",
        b"\0" + RAMP[1:],
        b"\xff" * 31 + b"\n",
        b"\n" + bytes(range(200, 231)),
        b"\r\n" * 15 + b"\0\n",
        b"32byteslongsecretkeymustbegiven1",
        b"0123456789abcdef0123456789ABCDEF",
        b"#2byteslongsecretkeymustbegiven1",
        "clé-de-trente-deux-octets-écrite".encode()[:32],
    ],
    ids=["nuls", "nul first", "newline last", "newline first", "newlines", "text", "hex", "hash sign", "utf-8"],
)
def test_odd_32_bytes_are_the_raw_key(secret: bytes) -> None:
    assert parse_keyfile(secret).first.reveal_bytes() == secret


@given(secret=secrets_of_32, end=st.sampled_from(["", "\n", "\r\n", "\n\n", " \n"]))
def test_base64_is_read_with_and_without_line_end(secret: bytes, end: str) -> None:
    assert parse_keyfile(base64.b64encode(secret) + end.encode()).first == CustomerKey(secret)


def test_what_openssl_prints_is_a_keyfile() -> None:
    content = subprocess.run(["openssl", "rand", "-base64", "32"], check=True, capture_output=True).stdout
    assert parse_keyfile(content).first.reveal_base64() == content.decode().strip()


@given(secret=secrets_of_32, upper=st.booleans(), end=st.sampled_from(["", "\n", "\r\n"]))
def test_64_hex_digits_are_read_in_either_case(secret: bytes, upper: bool, end: str) -> None:
    digits = secret.hex().upper() if upper else secret.hex()
    assert parse_keyfile((digits + end).encode()).first == CustomerKey(secret)


@given(
    secrets=st.lists(
        st.tuples(secrets_of_32, st.booleans(), st.none() | labels), min_size=1, max_size=5, unique_by=lambda one: one[0]
    ),
    remarks=st.lists(st.text(alphabet="abc é#:=", max_size=30), min_size=5, max_size=5),
    end=line_ends,
    is_marked=st.booleans(),
)
def test_several_lines_are_several_keys_in_their_order(
    secrets: list[tuple[bytes, bool, str | None]], remarks: list[str], end: str, is_marked: bool
) -> None:
    lines: list[str] = []
    for (secret, is_hex, label), remark in zip(secrets, remarks, strict=False):
        lines += [f"# {remark}", "", "  "]
        text = secret.hex() if is_hex else base64.b64encode(secret).decode()
        lines.append(text if label is None else f"{label}: {text}")
    content = ("\ufeff" if is_marked else "") + end.join(lines) + end
    assert [one.reveal_bytes() for one in parse_keyfile(content.encode())] == [secret for secret, _, _ in secrets]


def test_one_labelled_key_without_space_is_read() -> None:
    assert parse_keyfile(b"backup-2026:" + RAMP_BASE64).first == CustomerKey(RAMP)


GUIDE_MD5 = base64.b64encode(hashlib.md5(RAMP_BASE64 + b"\n").hexdigest().encode() + b"\n")

MISTAKES = {
    "empty": (b"", "it is empty"),
    "newlines only": (b"\n\n", "it is empty"),
    "comments only": (b"# my key\n\n#\n", "comments only"),
    "31 raw bytes": (b"\xff" * 31, "exactly 32 bytes, this file has 31 (a shell variable"),
    "28 raw bytes, from a shell variable": (b"\xff" * 28, "has 28 (a shell variable"),
    "33 raw bytes": (b"\xff" * 33, "exactly 32 bytes, this file has 33"),
    "raw key and newline": (b"\xff" * 32 + b"\n", "head -c 32"),
    "48 raw bytes": (b"\xff" * 48, "this file has 48"),
    "text with NULs": (b"abc\0" * 5, "this file has 20"),
    "UTF-16": (RAMP_BASE64.decode().encode("utf-16"), "UTF-16"),
    "31 characters": (b"a passphrase of 31 characters..\n", "it has 31 characters"),
    "32 characters and newline": (b"!a-phrase-that-is-32-letters-big\n", "without a newline"),
    "base64 of 31 bytes": (base64.b64encode(RAMP[:31]), "line 1: the key has 31 bytes, it must have 32 (a shell variable"),
    "base64 of 33 bytes": (base64.b64encode(RAMP + b"!"), "line 1: the key has 33 bytes, it must have 32"),
    "base64 of raw key and newline": (base64.b64encode(RAMP + b"\n"), "the key has 33 bytes"),
    "base64 of 16 bytes: a key MD5": (b"tP/LI3N87DFaSk0aoqYgzg==", "this is a key MD5"),
    "base64 twice": (base64.b64encode(RAMP_BASE64), "encoded twice"),
    "base64 twice, newline inside": (base64.b64encode(RAMP_BASE64 + b"\n"), "encoded twice"),
    "the guide's MD5": (GUIDE_MD5, "base64 of an MD5 in hex"),
    "an MD5 in hex, without newline": (base64.b64encode(b"0123456789abcdef" * 2), "base64 of an MD5 in hex"),
    "32 hex digits": (b"0123456789abcdef" * 2 + b"\n", "has 64 digits, this one has 32"),
    "63 hex digits": (b"f" * 63, "has 64 digits, this one has 63"),
    "66 hex digits": (b"f" * 66, "has 64 digits, this one has 66"),
    "no padding": (RAMP_BASE64[:-1], "the last is ="),
    "no base64": (b"*" * 44, "neither base64"),
    "two keys on a line": (RAMP_BASE64 + b" " + RAMP_BASE64, "neither base64"),
    "label alone": (b"backup:\n", "line 1: the key has 0 bytes"),
    "second line wrong": (b"# ok\n" + RAMP_BASE64 + b"\r\n" + RAMP_BASE64[:40], "line 3: "),
    "same key twice": (RAMP_BASE64 + b"\n\nold: " + RAMP.hex().encode(), "line 3: the same key as on line 1"),
}


@pytest.mark.parametrize(("content", "says"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_called_by_its_name_and_the_content_is_not_shown(content: bytes, says: str) -> None:
    with pytest.raises(KeyfileError) as caught:
        parse_keyfile(content)
    message = str(caught.value)
    assert says in message
    assert_shows_nothing_of(content, message)


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_the_content_it_is_a_keyring_or_a_keyfile_error_that_hides_it(content: bytes) -> None:
    try:
        keyring = parse_keyfile(content)
    except KeyfileError as error:
        assert_shows_nothing_of(content, str(error))
    else:
        assert all(len(one.reveal_bytes()) == 32 for one in keyring)
        assert keyring.first.reveal_base64() not in repr(keyring)


def assert_shows_nothing_of(content: bytes, message: str) -> None:
    """No word of eight characters or more of the content stands in the message."""
    shown = [word for word in content.decode("latin-1").split() if len(word) >= 8 and word in message]
    assert shown == []
