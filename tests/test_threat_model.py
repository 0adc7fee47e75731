"""docs/threat-model.md: the rows are numbered, and every test that it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ATTACKS = (
    *(
        "Mix-up",
        "Injection of a stolen code",
        "Replay of a code",
        "PKCE downgrade",
        "Open redirection",
        "CSRF",
    ),
    *("Clickjacking", "307", "proxy", "Counterfeit metadata", "refresh token", "Access token leaks"),
    *("Server-side request forgery", "Redirect URI", "Referer", "history"),
)


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def missing(text: str) -> list[str]:
    return [
        f"{path}::{name}"
        for path, name in NAMED.findall(text)
        if not (ROOT / path).is_file() or name not in functions(path)
    ]


def test_what_is_not_there_is_found() -> None:
    assert missing("`tests/test_threat_model.py::nothing` `tests/nowhere.py::nothing`") == [
        "tests/test_threat_model.py::nothing",
        "tests/nowhere.py::nothing",
    ]


def test_every_attack_has_a_row_and_every_row_a_test() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", DOCUMENT, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert [number for number, row in rows if not NAMED.search(row)] == []
    assert [attack for attack in ATTACKS if not any(attack in row for _, row in rows)] == []


def test_every_test_that_is_named_exists() -> None:
    assert missing(DOCUMENT) == []
    assert DOCUMENT.count("::") == len(NAMED.findall(DOCUMENT))
