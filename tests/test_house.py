"""The house rules: errors mapped, sizes kept, contracts held, settings documented."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.errors import ANSWERS
from broker.settings import Settings, load_settings

ROOT = Path(__file__).parents[1]
PACKAGES = ("broker", "connectors", "consent", "migrations", "vault")

MAX_MODULE_LINES = 400
MAX_TEST_LINES = 500
MAX_FUNCTION_LINES = 60

# What only a terminal, the demo or a reference recipient sees is never an answer of the broker.
NEVER_ANSWERED = re.compile(r"broker\.(cli|demo)\.|connectors\.services\.(\w+\.recipient|relying_party)\.")

# A setting, as it stands in the example or as a comment that shows its default.
SETTING = re.compile(r"^(?:# )?([a-z_]+ = .+)$")


def source_files() -> list[Path]:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return [file for file in files if file.parent.name != "versions"]


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring: explaining costs nothing."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    return lines - len((ast.get_docstring(function, clean=False) or "").splitlines())


def error_classes() -> list[type[Exception]]:
    """Every error that one of our modules defines, and that another of ours does not refine."""
    found = set()
    for package in PACKAGES:
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            if module.name.endswith(("__main__", ".env")):
                continue
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and issubclass(value, Exception) and is_ours(value):
                    found.add(value)
    bases = {base for error in found for base in error.__mro__[1:]}
    return sorted(found - bases, key=lambda error: (error.__module__, error.__name__))


def is_ours(error: type) -> bool:
    module = error.__module__
    is_private = error.__name__.startswith("_")
    return module.partition(".")[0] in PACKAGES and not is_private and not NEVER_ANSWERED.match(module)


def uncommented_example() -> str:
    lines = (ROOT / "config.example.toml").read_text(encoding="utf-8").splitlines()
    return "\n".join(SETTING.sub(r"\1", line) for line in lines)


def test_every_error_has_its_row_in_the_one_map() -> None:
    unmapped = [error for error in error_classes() if not any(kind in ANSWERS for kind in error.__mro__)]
    assert [f"{error.__module__}.{error.__name__}" for error in unmapped] == []


def test_modules_are_short() -> None:
    sizes = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in source_files()}
    assert [(str(file), lines) for file, lines in sizes.items() if lines > MAX_MODULE_LINES] == []


def test_test_modules_are_short() -> None:
    sizes = {
        file: len(file.read_text(encoding="utf-8").splitlines()) for file in (ROOT / "tests").rglob("*.py")
    }
    assert [(str(file), lines) for file, lines in sizes.items() if lines > MAX_TEST_LINES] == []


def test_functions_are_short() -> None:
    long = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in source_files()
        for node in functions(file)
        if length(node) > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_import_contracts_hold() -> None:
    # A process of its own: the linter's own logging set-up would silence every logger of this one.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


def test_the_example_configuration_loads() -> None:
    settings = load_settings(ROOT / "config.example.toml", {"MYDATA__KEYRING__PASSPHRASE": "a passphrase"})
    assert settings.server.profile == "production"


def test_the_example_configuration_names_every_setting() -> None:
    example = tomllib.loads(uncommented_example())
    named = {f"{section}.{name}" for section, members in example.items() for name in members}
    settings = load_settings(ROOT / "config.example.toml", {"MYDATA__KEYRING__PASSPHRASE": "a passphrase"})
    assert named == set(settings.shown())
    assert set(example) == set(Settings.model_fields)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock"])
def test_locks_have_hashes_and_no_address(name: str) -> None:
    lock = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in lock
    assert not [line for line in lock.splitlines() if line.startswith("-")]
    pinned = re.findall(r"^\S+==\S+ \\\n    --hash=sha256:", lock, flags=re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[^\s#]", lock, flags=re.MULTILINE))


def test_every_code_of_the_one_map_is_documented() -> None:
    documented = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    codes = {answer.code for answer in ANSWERS.values()} - {"page_error"}
    assert {code for code in codes if f"`{code}`" not in documented} == set()
