"""The catalogue of record types: loads them from their JSON files and validates records against them.

Schemas are JSON Schema 2020-12 with formats asserted, those of Korean identifiers too. A fault names a place
and a rule, never a value.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from jsonschema_rs import Draft202012Validator, ValidationError, ValidationErrorKind

from vault.errors import Fault, RecordInvalidError, UnknownRecordTypeError
from vault.identifiers import FORMATS
from vault.record_types.rules import UNREADABLE_RULES, Invariant, content_faults, member_path


@dataclass(frozen=True)
class FieldInfo:
    """What a person is told about a top-level member: a label and plain words, each in `ko` and `en`."""

    label: Mapping[str, str]
    description: Mapping[str, str]


@dataclass(frozen=True)
class RecordType:
    """One kind of record. `schema` and `example` are plain JSON; leave them unchanged.

    `filters` tells where a record holds what a consent may filter by: a path, or a path for each end.
    `value_labels` gives the words for coded values: path -> value -> language -> label. `plain_numbers` are
    members with long numbers that are not searched for resident registration numbers. `predicates` are the
    questions that it answers with yes or no, as `consent.predicates` reads them.
    """

    code: str
    revision: int
    sensitivity: str
    labels: Mapping[str, str]
    description: Mapping[str, str]
    fields: Mapping[str, FieldInfo]
    value_labels: Mapping[str, Mapping[str, Mapping[str, str]]]
    filters: Mapping[str, str | Mapping[str, str]]
    natural_key: tuple[str, ...]
    schema: Mapping[str, Any]
    example: Mapping[str, Any]
    plain_numbers: tuple[str, ...]
    predicates: Mapping[str, Mapping[str, Any]]
    invariants: tuple[Invariant, ...] = field(repr=False)
    validator: Draft202012Validator = field(repr=False, compare=False)

    def label(self, lang: str) -> str:
        """The type's name in `ko` or `en`."""
        return self.labels[lang]

    def natural_key_of(self, data: Mapping[str, Any]) -> str:
        """The value by which its holder tells this record from others; parts are joined by `/`."""
        return "/".join(str(data[name]) for name in self.natural_key)


@dataclass(frozen=True)
class Catalogue:
    """Every record type that this program knows, by code."""

    types: Mapping[str, RecordType]

    @classmethod
    def load(cls) -> "Catalogue":
        """Read the record types that lie beside this module."""
        folder = files("vault.record_types")
        names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
        types = [_read(json.loads(folder.joinpath(name).read_text(encoding="utf-8"))) for name in names]
        return cls(MappingProxyType({record_type.code: record_type for record_type in types}))

    def get(self, record_type: str) -> RecordType:
        """The record type of this code. Raises UnknownRecordTypeError."""
        try:
            return self.types[record_type]
        except KeyError:
            raise UnknownRecordTypeError(record_type) from None

    def codes(self) -> tuple[str, ...]:
        """The codes of all record types, in order."""
        return tuple(self.types)

    def validate(self, record_type: str, data: object) -> None:
        """Raise RecordInvalidError with every fault of `data` (parsed JSON); UnknownRecordTypeError."""
        known = self.get(record_type)
        faults = content_faults(data, known.plain_numbers)
        if not any(fault.rule in UNREADABLE_RULES for fault in faults):
            for error in known.validator.iter_errors(data):
                faults += _schema_faults(error)
        for rule in known.invariants:
            faults += [] if rule.only_warns else rule.faults_in(data)
        if faults:
            raise RecordInvalidError(sorted(set(faults), key=lambda fault: (fault.path, fault.rule)))

    def doubts(self, record_type: str, data: object) -> tuple[Fault, ...]:
        """What looks wrong in a valid record and refuses nothing, such as a mistyped check digit."""
        rules = [rule for rule in self.get(record_type).invariants if rule.only_warns]
        return tuple(fault for rule in rules for fault in rule.faults_in(data))


def _read(raw: Mapping[str, Any]) -> RecordType:
    return RecordType(
        code=raw["code"],
        revision=raw["revision"],
        sensitivity=raw["sensitivity"],
        labels=MappingProxyType(raw["label"]),
        description=MappingProxyType(raw["description"]),
        fields=MappingProxyType({name: FieldInfo(**told) for name, told in raw["fields"].items()}),
        value_labels=MappingProxyType(raw["value_labels"]),
        filters=MappingProxyType(raw["filters"]),
        natural_key=tuple(raw["natural_key"]),
        schema=MappingProxyType(raw["schema"]),
        example=MappingProxyType(raw["example"]),
        plain_numbers=tuple(raw.get("plain_numbers", ())),
        predicates=MappingProxyType(raw.get("predicates", {})),
        invariants=tuple(Invariant.read(rule) for rule in raw["invariants"]),
        validator=Draft202012Validator(
            raw["schema"], validate_formats=True, ignore_unknown_formats=False, formats=dict(FORMATS)
        ),
    )


def _schema_faults(error: ValidationError) -> Iterator[Fault]:
    path = "$"
    for step in error.instance_path:
        path = f"{path}[{step}]" if isinstance(step, int) else member_path(path, step)
    kind = error.kind
    if isinstance(kind, ValidationErrorKind.Required):
        yield Fault(member_path(path, kind.property), "required")
    elif isinstance(kind, ValidationErrorKind.AdditionalProperties):
        for name in kind.unexpected:
            yield Fault(member_path(path, name), "unknown_member")
    else:
        yield Fault(path, kind.name)
