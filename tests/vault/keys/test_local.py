"""The local provider refuses every file that is not a private root key file of its own (V11)."""

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.vault.conftest import CHEAP
from vault.errors import (
    ForeignProviderError,
    KeyFileUnsafeError,
    KeyringExistsError,
    KeyringMissingError,
    TamperedError,
    WrongPassphraseError,
)
from vault.keys.local import Argon2Cost, LocalProvider, create_root_file
from vault.keys.provider import frame, unframe

KEY = b"k" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "root.json"
    create_root_file(path, "correct horse", cost=CHEAP)
    return path


def test_a_wrong_passphrase_opens_nothing(path: Path) -> None:
    blob = LocalProvider(path, "correct horse").wrap(b"aad", KEY)
    with pytest.raises(WrongPassphraseError) as caught:
        LocalProvider(path, "battery staple").unwrap(b"aad", blob)
    assert "battery" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_file_is_a_missing_keyring(tmp_path: Path) -> None:
    with pytest.raises(KeyringMissingError):
        LocalProvider(tmp_path / "root.json", "correct horse").wrap(b"aad", KEY)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_file_open_to_others_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyFileUnsafeError, match="0600"):
        LocalProvider(path, "correct horse").wrap(b"aad", KEY)


def test_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(path)
    with pytest.raises(KeyFileUnsafeError):
        LocalProvider(link, "correct horse").wrap(b"aad", KEY)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(KeyFileUnsafeError, match="regular"):
        LocalProvider(pipe, "correct horse").wrap(b"aad", KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "pkcs11"},
        {"version": 2},
        {"note": "x"},
        {"argon2id": {"iterations": 1, "memory_kib": 2**40, "lanes": 1}},
        {"argon2id": {"iterations": 0, "memory_kib": 64, "lanes": 1}},
        {"salt": "!"},
    ],
)
def test_a_file_of_another_shape_is_refused(path: Path, change: dict[str, object]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(KeyFileUnsafeError, match="not a root key file"):
        LocalProvider(path, "correct horse").wrap(b"aad", KEY)


@pytest.mark.parametrize("content", ["", "{", "[]", "x" * 100_000])
def test_a_file_that_is_none_of_ours_is_refused(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(KeyFileUnsafeError) as caught:
        LocalProvider(path, "correct horse").wrap(b"aad", KEY)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("member", ["salt", "wrapped_root"])
def test_an_altered_file_opens_nothing(path: Path, member: str) -> None:
    content = json.loads(path.read_text())
    content[member] = ("B" if content[member][0] == "A" else "A") + content[member][1:]
    path.write_text(json.dumps(content))
    with pytest.raises(WrongPassphraseError):
        LocalProvider(path, "correct horse").wrap(b"aad", KEY)


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_nothing_is_overwritten(path: Path, tmp_path: Path, kind: str) -> None:
    taken = {"file": path, "link": tmp_path / "link.json", "dangling": tmp_path / "dangling.json"}[kind]
    if kind != "file":
        taken.symlink_to(path if kind == "link" else tmp_path / "nowhere")
    before = path.read_bytes()
    with pytest.raises(KeyringExistsError):
        create_root_file(taken, "another", cost=CHEAP)
    assert path.read_bytes() == before
    assert not (tmp_path / "nowhere").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_empty_passphrase_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="passphrase"):
        create_root_file(tmp_path / "root.json", "", cost=CHEAP)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cost", [{"iterations": 0}, {"memory_kib": 1}, {"lanes": 0}, {"passes": 1}])
def test_a_cost_out_of_bounds_is_refused(cost: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Argon2Cost.model_validate(cost)


def test_a_file_is_private_and_names_provider_version_and_cost(path: Path) -> None:
    content = json.loads(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert (content["provider"], content["version"]) == ("local", 1)
    assert content["argon2id"] == {"iterations": 1, "memory_kib": 64, "lanes": 1}


def test_without_a_word_the_cost_is_the_strong_one(tmp_path: Path) -> None:
    create_root_file(tmp_path / "root.json", "correct horse")
    content = json.loads((tmp_path / "root.json").read_text())
    assert content["argon2id"] == {"iterations": 3, "memory_kib": 65536, "lanes": 4}
    provider = LocalProvider(tmp_path / "root.json", "correct horse")
    assert provider.unwrap(b"aad", provider.wrap(b"aad", KEY)) == KEY


def test_two_root_files_share_nothing(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    create_root_file(other, "correct horse", cost=CHEAP)
    blob = LocalProvider(path, "correct horse").wrap(b"aad", KEY)
    with pytest.raises(TamperedError):
        LocalProvider(other, "correct horse").unwrap(b"aad", blob)


def test_a_blob_opens_in_its_own_place_only(path: Path) -> None:
    provider = LocalProvider(path, "correct horse")
    blob = provider.wrap(b"aad", KEY)
    assert provider.unwrap(b"aad", blob) == KEY
    assert provider.unwrap_all([(b"aad", blob), (b"aad", blob)]) == [KEY, KEY]
    with pytest.raises(TamperedError):
        provider.unwrap(b"other", blob)


def test_a_blob_names_who_wrapped_it(path: Path) -> None:
    provider = LocalProvider(path, "correct horse")
    body = unframe("local", 1, provider.wrap(b"aad", KEY))
    for name, version in (("pkcs11", 1), ("local", 2)):
        with pytest.raises(ForeignProviderError) as caught:
            provider.unwrap(b"aad", frame(name, version, body))
        assert (caught.value.provider, caught.value.version) == (name, version)


@pytest.mark.parametrize("blob", [b"", b"\x05loc", b"\x05local\x00", b"\x01\xff\x00\x01body"])
def test_a_blob_without_a_name_is_refused(blob: bytes) -> None:
    with pytest.raises(TamperedError):
        unframe("local", 1, blob)


def test_the_passphrase_is_in_no_repr(path: Path) -> None:
    assert "horse" not in repr(LocalProvider(path, "correct horse"))
