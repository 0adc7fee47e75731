"""Who the demo knows: personas with their stories, organisations, staff. Everything is invented."""

from dataclasses import dataclass
from typing import Final

from connectors.sources.demo_people import DEMO_PEOPLE, DemoPerson
from consent.organisations import NewOrganisation

HOSPITAL: Final = "seoul-hospital"
REGISTER: Final = "insurance-register"
INSURER: Final = "hanbit-insurance"
PURPOSE: Final = "insurance.indemnity_claim"
INSTITUTION: Final = "11100079"

ORGANISATIONS: Final = (
    NewOrganisation(
        organisation_id=HOSPITAL,
        name_ko="서울한빛병원",
        name_en="Seoul Hanbit Hospital",
        registration_number="220-82-10073",
        contact="privacy@hospital.example",
        is_recipient=False,
        is_holder=True,
    ),
    NewOrganisation(
        organisation_id=REGISTER,
        name_ko="보험계약정보원",
        name_en="Insurance Register",
        registration_number="120-81-47521",
        contact="privacy@register.example",
        is_recipient=False,
        is_holder=True,
    ),
    NewOrganisation(
        organisation_id=INSURER,
        name_ko="한빛손해보험",
        name_en="Hanbit Insurance",
        registration_number="116-82-00276",
        contact="privacy@hanbit.example",
        is_recipient=True,
        is_holder=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody to be in the demo. The password is for this demo only, and the same for everybody."""

    username: str
    person: DemoPerson
    story: str


PERSONAS: Final = tuple(
    Persona(username, person, story)
    for username, person, story in zip(
        ("haneul", "jeongsuk", "doyun", "minseo", "garam"),
        DEMO_PEOPLE,
        (
            "A young tenant with bills of the last weeks: claims them all with one consent",
            "Has been in hospital: settled by rule with the detailed bills, by a person without them",
            "Sixteen, and may consent alone",
            "Reads everything, and says no",
            "Agrees, and stops it the same evening",
        ),
        strict=True,
    )
)

AUDITOR: Final = "auditor"
OPERATOR: Final = "operator"
