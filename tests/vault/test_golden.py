"""What any release has sealed opens for ever (V17). Files are added, never changed."""

import json
from pathlib import Path

import pytest

from vault.seal import SealingKey, context_of, open_sealed, unwrap_key

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_ciphertext_opens(path: Path) -> None:
    golden = json.loads(path.read_text())
    key = SealingKey(bytes.fromhex(golden["key_id"]), bytes.fromhex(golden["secret"]))
    context = context_of(*golden["context"])
    for case in golden["sealed"]:
        assert (
            open_sealed(key, context, bytes.fromhex(case["sealed"]))
            == case["plaintext"].encode() * case["times"]
        )
    for case in golden["wrapped"]:
        assert unwrap_key(key.secret, context, bytes.fromhex(case["wrapped"])).hex() == case["key"]


def test_there_is_a_golden_file_for_each_format() -> None:
    assert {path.stem for path in GOLDEN} >= {"format-1"}
