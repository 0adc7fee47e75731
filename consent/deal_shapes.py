"""The shapes of deals: the roles of each kind, and what each role is asked for. Data brought by services."""

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consent.errors import DealInvalidError
from consent.purposes import Purposes, Text

_LEAST_ROLES = 2
_CODE = r"[a-z][a-z0-9_]{0,39}"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DealRole(_Frozen):
    """One role: its purpose, and who may take it.

    Nobody takes it together with one of `excludes`; with `same_person_as`, only who takes that role does. An
    `optional` role is in a deal where its opener names a client for it.
    """

    role: str = Field(pattern=f"^{_CODE}$")
    purpose: str
    name: Text
    optional: bool = False
    excludes: frozenset[str] = frozenset()
    same_person_as: str | None = None


class DealShape(_Frozen):
    """One kind of deal. Every role has a purpose of its own."""

    kind: str = Field(pattern=f"^{_CODE}$")
    name: Text
    roles: tuple[DealRole, ...] = Field(min_length=_LEAST_ROLES)

    @model_validator(mode="after")
    def _roles_fit(self) -> Self:
        codes = [role.role for role in self.roles]
        named = {other for role in self.roles for other in (*role.excludes, role.same_person_as) if other}
        faults = {
            "a role that is there twice": len(set(codes)) != len(codes),
            "a purpose that is there twice": len({role.purpose for role in self.roles}) != len(codes),
            "a role that names one that is not there": not named <= set(codes),
            "a role that names itself": any(
                role.role in {*role.excludes, role.same_person_as} for role in self.roles
            ),
            "a role of the same person as one that it excludes": any(
                role.same_person_as and self.exclude(role.role, role.same_person_as) for role in self.roles
            ),
            "fewer than two roles that are always there": self._always() < _LEAST_ROLES,
        }
        for message, is_broken in faults.items():
            if is_broken:
                raise ValueError(message)
        return self

    def role(self, code: str) -> DealRole:
        """The role of this code; KeyError for none."""
        return {role.role: role for role in self.roles}[code]

    def exclude(self, one: str, other: str) -> bool:
        """Whether nobody may take both roles; it is enough that one of them says so."""
        return other in self._excludes(one) or one in self._excludes(other)

    def bind(self, one: str, other: str) -> bool:
        """Whether both roles are for the same person."""
        return any(
            role.same_person_as is not None and {role.role, role.same_person_as} == {one, other}
            for role in self.roles
        )

    def _excludes(self, code: str) -> frozenset[str]:
        return frozenset(other for role in self.roles if role.role == code for other in role.excludes)

    def _always(self) -> int:
        return sum(not role.optional for role in self.roles)


class DealShapes:
    """Every kind of deal that this broker knows, by code."""

    def __init__(self, shapes: Mapping[str, DealShape]) -> None:
        self._shapes = dict(shapes)
        self._purposes = frozenset(role.purpose for shape in shapes.values() for role in shape.roles)

    @classmethod
    def load(cls, declarations: Sequence[Mapping[str, object]], purposes: Purposes) -> Self:
        """Read declarations. ValueError for two of one kind; UnknownPurposeError."""
        shapes: dict[str, DealShape] = {}
        for declaration in declarations:
            shape = DealShape.model_validate(declaration)
            if shape.kind in shapes:
                message = f"deal {shape.kind} is declared twice"
                raise ValueError(message)
            for role in shape.roles:
                purposes.get(role.purpose)
            shapes[shape.kind] = shape
        return cls(shapes)

    def get(self, kind: str) -> DealShape:
        """The shape of this kind; raises DealInvalidError."""
        try:
            return self._shapes[kind]
        except KeyError as error:
            raise DealInvalidError([("kind", "unknown")]) from error

    def is_for_deals_only(self, purpose: str) -> bool:
        """Whether a purpose is asked for within a deal and nowhere else.

        Alone it would be a way around all or nothing.
        """
        return purpose in self._purposes
