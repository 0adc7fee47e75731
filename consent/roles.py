"""What the role in which a broker is deployed may do, as a table with the clause of the law for each entry.

PIPA's decree keeps the roles apart: a relay is neither a manager nor a receiver (article 42-9(2)), and what
was received in one role is stored apart from the rest (article 42-6(10)). Enforced where a source is linked,
where records are stored, where a recipient asks, and at every pull. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from consent.errors import RoleForbidsError
from consent.vocabulary import Sensitivity


class Role(StrEnum):
    """The roles of PIPA's decree: relay (중계전문기관), manager (관리전문기관), receiver (일반수신자)."""

    RELAY = "relay"
    MANAGER = "manager"
    RECEIVER = "receiver"


class Capability(StrEnum):
    """What a deployment may or may not do."""

    COLLECT = "collect"
    STORE = "store"
    CARRY = "carry"
    DELIVER = "deliver"
    DELIVER_HEALTH = "deliver_health"
    RECEIVE = "receive"
    ACT_AS_AGENT = "act_as_agent"


@dataclass(frozen=True, slots=True)
class Rule:
    """Whether a role has a capability, and where the law says so."""

    is_allowed: bool
    clause: str


_APART: Final = "decree 42-9(2): a relay is neither manager nor receiver"
_TRUTH_ONLY: Final = "decree 42-3(1): a receiver receives only to verify what it gathered itself; PIPA 19"

RULES: Final[Mapping[Role, Mapping[Capability, Rule]]] = {
    Role.RELAY: {
        Capability.COLLECT: Rule(is_allowed=False, clause=_APART),
        Capability.STORE: Rule(is_allowed=False, clause=_APART),
        Capability.CARRY: Rule(is_allowed=True, clause="decree 42-6(7): health records go through a relay"),
        Capability.DELIVER: Rule(
            is_allowed=False, clause="nothing is stored, so nothing is delivered from it"
        ),
        Capability.DELIVER_HEALTH: Rule(is_allowed=False, clause="carried while they are sent, never stored"),
        Capability.RECEIVE: Rule(is_allowed=False, clause=_APART),
        Capability.ACT_AS_AGENT: Rule(is_allowed=False, clause=_APART),
    },
    Role.MANAGER: {
        Capability.COLLECT: Rule(is_allowed=True, clause="PIPA 35-3; decree 42-6"),
        Capability.STORE: Rule(is_allowed=True, clause="decree 42-6(10): apart from other data"),
        Capability.CARRY: Rule(is_allowed=False, clause=_APART),
        Capability.DELIVER: Rule(is_allowed=True, clause="PIPA 17(1): by the person's consent"),
        Capability.DELIVER_HEALTH: Rule(is_allowed=False, clause="decree 42-6(7): special managers only"),
        Capability.RECEIVE: Rule(is_allowed=True, clause="PIPA 35-2(2)"),
        Capability.ACT_AS_AGENT: Rule(
            is_allowed=True, clause="decree 42-6(5): hands over, and keeps nothing"
        ),
    },
    Role.RECEIVER: {
        Capability.COLLECT: Rule(is_allowed=True, clause="PIPA 35-2(2): what the person has sent to it"),
        Capability.STORE: Rule(is_allowed=True, clause="decree 42-3(1), 42-6(10): apart from other data"),
        Capability.CARRY: Rule(is_allowed=False, clause=_APART),
        Capability.DELIVER: Rule(is_allowed=False, clause=_TRUTH_ONLY),
        Capability.DELIVER_HEALTH: Rule(is_allowed=False, clause=_TRUTH_ONLY),
        Capability.RECEIVE: Rule(is_allowed=True, clause="decree 42-3(1)"),
        Capability.ACT_AS_AGENT: Rule(is_allowed=False, clause="decree 42-6(5): for managers"),
    },
}
"""`CARRY` and `ACT_AS_AGENT` are stated and switch nothing: no part of this program carries records through,
nor downloads in a person's name, without storing them."""

_SPECIAL: Final = Rule(
    is_allowed=True, clause="decree 42-6(7): a special manager; it sends on by consent (PIPA 17, 23)"
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """The role of one installation. `is_special`: a manager that is designated for health records."""

    role: Role
    is_special: bool = False

    def rule(self, capability: Capability) -> Rule:
        """What the law says of this deployment."""
        is_health = capability is Capability.DELIVER_HEALTH
        if is_health and self.role is Role.MANAGER and self.is_special:
            return _SPECIAL
        return RULES[self.role][capability]

    def may(self, capability: Capability) -> bool:
        """Whether it has a capability."""
        return self.rule(capability).is_allowed

    def require(self, capability: Capability) -> None:
        """Raise RoleForbidsError unless it has the capability."""
        if not self.may(capability):
            raise RoleForbidsError(self.role, capability)

    def require_delivery(self, sensitivities: Iterable[str]) -> None:
        """Raise RoleForbidsError unless records of these classes may be delivered to a third party."""
        self.require(Capability.DELIVER)
        if Sensitivity.HEALTH in set(sensitivities):
            self.require(Capability.DELIVER_HEALTH)


def place_of(role: str, holder_id: str) -> str:
    """The holder's name in keys of records: what came in another role than manager lies apart, under others.

    A consent opens what a manager stores; so nothing that came in another role is in what it opens.
    """
    return holder_id if role == Role.MANAGER else f"{role}:{holder_id}"
