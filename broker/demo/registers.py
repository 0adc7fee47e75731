"""The demo's public registers, bank and bureau: everybody is linked to them, and they deliver by file."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

from broker.db import Transaction
from broker.demo.people import REGISTERS, Persona
from connectors.sources.demo_registers import number_at, record_types_at, write_register_exports
from connectors.sources.demo_residents import DEMO_RESIDENTS
from consent.collection import NewLink, link
from vault.keys.keyring import Keyring


def link_registers(
    work: Transaction, keyring: Keyring, persona: Persona, subject_id: str, now: Callable[[], datetime]
) -> None:
    """Every register that has something to say of a persona, as if they had linked each by themselves."""
    for new in _links(persona, subject_id):
        link(work, keyring, new, now())


def write_registers(directory: Path, today: date) -> list[Path]:
    """Their exports, of the demo's people alone."""
    return write_register_exports(directory, today=today, people=DEMO_RESIDENTS)


def _links(persona: Persona, subject_id: str) -> Iterator[NewLink]:
    for holder_id in REGISTERS:
        number = number_at(holder_id, persona.resident)
        yield NewLink(subject_id, holder_id, number, record_types_at(holder_id), "ko", persona.name)
