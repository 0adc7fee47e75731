"""The import contract of our own finds breaches, and finds none where there are none."""

import grimp
import pytest

from tests.import_contracts import OnlyContract


def breaches(*imports: tuple[str, str], **options: object) -> list[str]:
    graph = grimp.ImportGraph()
    for name in ("store", "store.book", "store.shelf", "office", "office.desk"):
        graph.add_module(name)
    for name in ("hashlib", "orjson"):
        graph.add_module(name, is_squashed=True)
    for importer, imported in imports:
        graph.add_import(importer=importer, imported=imported)
    contract = OnlyContract(
        name="a contract",
        session_options={},
        contract_options={"source_modules": ["store"], **options},
    )
    check = contract.check(graph, verbose=False)
    found: list[str] = check.metadata["breaches"]
    assert check.kept == (not found)
    return found


def test_an_import_that_is_not_named_is_a_breach() -> None:
    assert breaches(("store.book", "office.desk")) == ["store.book -> office.desk"]


def test_naming_a_module_does_not_name_its_package() -> None:
    assert breaches(("store", "office"), allowed_modules=["office.desk"]) == ["store -> office"]


@pytest.mark.parametrize("imported", ["office", "office.desk"])
def test_naming_a_package_names_what_it_contains(imported: str) -> None:
    assert breaches(("store.book", imported), allowed_modules=["office"]) == []


def test_modules_may_import_their_own_package_and_what_is_not_ours() -> None:
    assert breaches(("store.book", "store.shelf"), ("store.book", "orjson")) == []


def test_standard_library_only_refuses_distributions() -> None:
    found = breaches(("store.book", "orjson"), ("store.book", "hashlib"), standard_library_only="true")
    assert found == ["store.book -> orjson"]
