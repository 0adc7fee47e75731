"""Who the demo knows: personas with their stories, organisations, staff. Everything is invented."""

from dataclasses import dataclass
from typing import Final

from connectors.sources.demo_people import DEMO_PEOPLE, DemoPerson
from connectors.sources.demo_residents import DEMO_RESIDENTS, SERA, YOUNGSU, Resident
from consent.organisations import NewOrganisation

HOSPITAL: Final = "seoul-hospital"
REGISTER: Final = "insurance-register"
INSURER: Final = "hanbit-insurance"
BANK: Final = "nuri-bank"
CONTRACTS: Final = "zipsign"
PURPOSE: Final = "insurance.indemnity_claim"
INSTITUTION: Final = "11100079"

REGISTERS: Final = (
    "tax-office",
    "employment-office",
    "hanbit-bank",
    "credit-bureau",
    "court-registry",
    "city-hall",
)
"""The public registers, the bank and the bureau that know every persona."""


def _holder(organisation_id: str, name_ko: str, name_en: str, number: str) -> NewOrganisation:
    return NewOrganisation(
        organisation_id=organisation_id,
        name_ko=name_ko,
        name_en=name_en,
        registration_number=number,
        contact=f"privacy@{organisation_id}.example",
        is_recipient=False,
        is_holder=True,
    )


def _recipient(organisation_id: str, name_ko: str, name_en: str, number: str) -> NewOrganisation:
    return NewOrganisation(
        organisation_id=organisation_id,
        name_ko=name_ko,
        name_en=name_en,
        registration_number=number,
        contact=f"privacy@{organisation_id}.example",
        is_recipient=True,
        is_holder=False,
    )


ORGANISATIONS: Final = (
    _holder(HOSPITAL, "서울한빛병원", "Seoul Hanbit Hospital", "220-82-10073"),
    _holder(REGISTER, "보험계약정보원", "Insurance Register", "120-81-47521"),
    _recipient(INSURER, "한빛손해보험", "Hanbit Insurance", "116-82-00276"),
    _holder("tax-office", "한빛세무서", "Hanbit Tax Office", "202-83-01011"),
    _holder("employment-office", "한빛고용센터", "Hanbit Employment Office", "203-83-01028"),
    _holder("court-registry", "한빛등기소", "Hanbit Court Registry", "206-83-01032"),
    _holder("city-hall", "한빛시청", "Hanbit City Hall", "207-83-01049"),
    _holder("hanbit-bank", "한빛저축은행", "Hanbit Savings Bank", "211-81-02010"),
    _holder("credit-bureau", "한빛신용정보", "Hanbit Credit Bureau", "212-81-02027"),
    _recipient(BANK, "누리은행", "Nuri Bank", "213-81-02035"),
    _recipient(CONTRACTS, "집사인", "Zipsign", "214-81-02042"),
)


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody to be in the demo. The password is for this demo only, and the same for everybody."""

    username: str
    resident: Resident
    story: str

    @property
    def name(self) -> str:
        """The persona's name."""
        return self.resident.name


@dataclass(frozen=True, slots=True)
class Patient(Persona):
    """A persona whom the hospital and the insurance register know as well."""

    person: DemoPerson


PATIENTS: Final = tuple(
    Patient(username, resident, story, person)
    for username, resident, person, story in zip(
        ("haneul", "jeongsuk", "doyun", "minseo", "garam"),
        DEMO_RESIDENTS[: len(DEMO_PEOPLE)],
        DEMO_PEOPLE,
        (
            "A young tenant with a job: claims the bills of the last weeks, borrows, looks for a home",
            "Has been in hospital: settled by rule with the detailed bills, by a person without them",
            "Sixteen, and may consent alone",
            "Reads everything, and says no; a loan is overdue",
            "Agrees, and stops it the same evening",
        ),
        strict=True,
    )
)

PERSONAS: Final[tuple[Persona, ...]] = (
    *PATIENTS,
    Persona("youngsu", YOUNGSU, "Lets rooms of one house, with one deposit before the next; owes no taxes"),
    Persona("sera", SERA, "A licensed estate agent"),
)

AUDITOR: Final = "auditor"
OPERATOR: Final = "operator"
