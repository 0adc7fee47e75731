"""Errors of the vault say what happened and carry data, without personal data, keys or tokens."""

import vault.errors
from vault.errors import (
    ErasedError,
    Fault,
    RecordInvalidError,
    UnknownKeyError,
    UnknownRecordTypeError,
    VaultError,
)


def test_every_error_is_an_error_of_the_vault() -> None:
    classes = [member for member in vars(vault.errors).values() if isinstance(member, type)]
    errors = [member for member in classes if issubclass(member, Exception)]
    assert len(errors) > 10
    assert all(issubclass(error, VaultError) for error in errors)


def test_an_erased_key_is_an_unknown_key_too() -> None:
    assert issubclass(ErasedError, UnknownKeyError)


def test_an_invalid_record_names_every_fault() -> None:
    error = RecordInvalidError([Fault("$.totals.paid", "minimum"), Fault("$.lines", "required")])
    assert [fault.rule for fault in error.faults] == ["minimum", "required"]
    assert str(error) == "$.totals.paid: minimum; $.lines: required"


def test_an_unknown_record_type_keeps_its_name_out_of_the_message() -> None:
    error = UnknownRecordTypeError("health.unknown")
    assert error.record_type == "health.unknown"
    assert "health" not in str(error)
