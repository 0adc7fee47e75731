"""docs/features.md: no row is missing, and every test that it names exists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
ROWS = {"Features": [str(n) for n in range(1, 41)], "Invariants": [str(n) for n in range(1, 27)]}
ROWS["Law checklist"] = [f"L{n}" for n in range(1, 32)]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def section(title: str) -> str:
    """The text from a heading to the next one."""
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@cache
def functions(path: str) -> frozenset[str]:
    """The names of a test module's functions, and of its classes' methods."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def missing(text: str) -> Iterator[str]:
    for path, name in NAMED.findall(text):
        if not (ROOT / path).is_file() or name not in functions(path):
            yield f"{path}::{name}"


def test_what_is_not_there_is_found() -> None:
    here = "tests/test_features.py"
    text = f"`{here}::missing` `{here}::nothing` `tests/nowhere.py::nothing`"
    assert list(missing(text)) == [f"{here}::nothing", "tests/nowhere.py::nothing"]


@pytest.mark.parametrize("title", ROWS)
def test_no_row_is_missing(title: str) -> None:
    assert re.findall(r"^\| (L?\d+) \|", section(title), re.MULTILINE) == ROWS[title]


def test_every_test_that_is_named_exists() -> None:
    assert list(missing(DOCUMENT)) == []
    assert DOCUMENT.count("::") == len(NAMED.findall(DOCUMENT)) > len(ROWS["Features"])
