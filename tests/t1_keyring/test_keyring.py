"""The keyring, and subkeys."""

import pickle
from dataclasses import FrozenInstanceError

import pytest

from ssecfs.keyring.derive import SUBKEY_BYTES, derive_subkey
from ssecfs.keyring.keyring import Keyring
from ssecfs.ssec import CustomerKey

ONE = CustomerKey(bytes(range(32)))
TWO = CustomerKey(bytes(range(1, 33)))
GOLDEN_SUBKEYS = {
    "attributes": "acfba60c2fc5499f22b9fa72008b92927d30baeb63c817a0d6bc92da7430dafe",
    "inodes": "6d76e465dd11f1f939946f4f5b0b42e8301000f2742030026da40bb6c7b885b5",
}


def test_first_key_encrypts_and_all_come_in_their_order() -> None:
    keyring = Keyring((TWO, ONE))
    assert keyring.first is TWO
    assert list(keyring) == [TWO, ONE]
    assert len(keyring) == 2


def test_find_goes_by_the_key_md5() -> None:
    keyring = Keyring((ONE, TWO))
    assert keyring.find(TWO.md5) is TWO
    assert keyring.find("no such MD5") is None


def test_empty_keyring_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Keyring(())


def test_same_key_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Keyring((ONE, TWO, CustomerKey(bytes(range(32)))))


def test_keyring_cannot_be_changed_or_pickled() -> None:
    keyring = Keyring((ONE,))
    with pytest.raises(FrozenInstanceError):
        keyring.customer_keys = (TWO,)  # type: ignore[misc]
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(keyring)


def test_repr_shows_the_md5_only() -> None:
    assert ONE.md5 in repr(Keyring((ONE,)))
    assert ONE.reveal_base64() not in repr(Keyring((ONE,)))


def test_subkeys_differ_by_key_label_and_salt_and_never_equal_the_customer_key() -> None:
    subkeys = {
        derive_subkey(customer_key, label, salt)
        for customer_key in (ONE, TWO)
        for label in ("cache", "attributes")
        for salt in (b"", b"1")
    }
    assert len(subkeys) == 8
    assert all(len(subkey) == SUBKEY_BYTES for subkey in subkeys)
    assert ONE.reveal_bytes() not in subkeys


def test_subkeys_stay_the_same_over_versions() -> None:
    """A golden value: sealed attributes of earlier versions must open, and inode numbers stay."""
    assert {label: derive_subkey(ONE, label).hex() for label in GOLDEN_SUBKEYS} == GOLDEN_SUBKEYS
