"""The customer key, its MD5, and the headers."""

import base64
import copy
import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssecfs import ssec
from ssecfs.ssec import CustomerKey

RAMP = CustomerKey(bytes(range(32)))
RAMP_BASE64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
RAMP_MD5 = "tP/LI3N87DFaSk0aoqYgzg=="


def test_known_key_has_the_known_base64_and_md5() -> None:
    """A vector that other SSE-C clients agree with."""
    assert RAMP.reveal_base64() == RAMP_BASE64
    assert RAMP.md5 == RAMP_MD5


@given(secret=st.binary(min_size=32, max_size=32))
def test_md5_is_that_of_the_raw_bytes_and_base64_is_undone_by_parsing(secret: bytes) -> None:
    customer_key = CustomerKey(secret)
    assert base64.b64decode(customer_key.md5) == hashlib.md5(secret).digest()
    assert ssec.parse_customer_key(customer_key.reveal_base64()) == secret == customer_key.reveal_bytes()
    assert len(customer_key.reveal_base64()) == 44


@pytest.mark.parametrize("length", [0, 16, 31, 33, 44, 64])
def test_other_lengths_are_no_key_and_the_message_holds_no_byte(length: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes, not {length}$") as caught:
        CustomerKey(b"s" * length)
    assert "ss" not in str(caught.value)


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r:>80}".format, "%s".__mod__, lambda key: repr([key])])
def test_key_shows_its_md5_only(show: object) -> None:
    assert callable(show)
    shown = show(RAMP)
    assert RAMP_MD5 in shown
    assert RAMP_BASE64 not in shown
    assert RAMP.reveal_bytes().hex() not in shown


def test_key_is_neither_pickled_nor_copied() -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(RAMP)
    with pytest.raises(TypeError, match="never pickled"):
        copy.deepcopy({"ours": RAMP})


def test_keys_are_equal_when_their_bytes_are() -> None:
    same, other = CustomerKey(bytes(range(32))), CustomerKey(bytes(range(1, 33)))
    assert same == RAMP
    assert other != RAMP
    assert RAMP.reveal_bytes() != RAMP
    assert {RAMP, same, other} == {RAMP, other}


def test_key_keeps_its_bytes_when_the_source_changes() -> None:
    source = bytearray(range(32))
    customer_key = CustomerKey(source)
    source[0] = 255
    assert customer_key == RAMP


@pytest.mark.parametrize("text", ["no base64!", RAMP_BASE64[:-1], RAMP_BASE64 + "\n", "clé", "AAEC AwQF"])
def test_text_that_is_no_base64_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="not valid base64") as caught:
        ssec.parse_customer_key(text)
    assert text not in str(caught.value)
    assert caught.value.__suppress_context__


def test_parsing_leaves_the_length_to_the_caller() -> None:
    assert ssec.parse_customer_key("AAEC") == b"\0\1\2"
    assert ssec.parse_customer_key("") == b""


def test_request_carries_the_trio() -> None:
    assert ssec.request_headers(RAMP) == {
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": RAMP_BASE64,
        "x-amz-server-side-encryption-customer-key-md5": RAMP_MD5,
    }


def test_copy_source_carries_the_trio_under_its_own_names() -> None:
    assert ssec.copy_source_headers(RAMP) == {
        "x-amz-copy-source-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-copy-source-server-side-encryption-customer-key": RAMP_BASE64,
        "x-amz-copy-source-server-side-encryption-customer-key-md5": RAMP_MD5,
    }
