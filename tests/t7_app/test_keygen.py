"""New keyfiles: private, never overwritten, and read back as what they are."""

import stat
from pathlib import Path

import pytest

from ssecfs.app.cli import main
from ssecfs.keyring.keyfile import load_keyfile


def test_new_keyfile_is_private_and_holds_one_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key"
    assert main(["keygen", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (customer_key,) = load_keyfile(path)
    printed = capsys.readouterr().out
    assert customer_key.md5 in printed
    assert path.read_text().strip() not in printed


def test_two_keyfiles_differ(tmp_path: Path) -> None:
    for name in ("one", "other"):
        assert main(["keygen", str(tmp_path / name)]) == 0
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


def test_existing_file_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key"
    path.write_text("precious")
    assert main(["keygen", str(path)]) == 8
    assert path.read_text() == "precious"
    assert "not overwritten" in capsys.readouterr().err


def test_keyfile_in_a_missing_folder_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", str(tmp_path / "none" / "key")]) == 8
    assert "cannot be made" in capsys.readouterr().err
