"""Step-up authentication challenge, RFC 9470: which sign-in a pull needs, and how a client gets it anew.

A client that is challenged sends the person here again with `grant_management_action=merge`, the `grant_id`,
no `authorization_details`, and `max_age` and `acr_values` of the challenge. Nothing is added to the grant:
the code is for the version that stands, and of a later sign-in.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, col, select

from broker.oauth import authentication_context
from broker.setting_sections import OAuthSection
from consent.emergency import PURPOSE as EMERGENCY
from consent.models import Consent
from consent.policy import SignInRule
from consent.states import LIVING
from consent.versions import version_id_of
from consent.vocabulary import Sensitivity
from vault.record_types.catalogue import Catalogue

_DESCRIPTION: Final = "the person must sign in again, as max_age and acr_values say"


def rule_of(settings: OAuthSection, catalogue: Catalogue) -> SignInRule | None:
    """What the settings hold a sign-in to before sensitive record types are pulled; None for nothing."""
    if not settings.step_up_seconds and not settings.step_up_acr:
        return None
    sensitive = (
        code for code in catalogue.codes() if catalogue.get(code).sensitivity != Sensitivity.ORDINARY
    )
    return SignInRule(
        record_types=frozenset(sensitive),
        max_age=timedelta(seconds=settings.step_up_seconds) if settings.step_up_seconds else None,
        acr_values=authentication_context.at_least(settings.step_up_acr) if settings.step_up_acr else (),
        exempt_purposes=frozenset({EMERGENCY}),
    )


def challenge_of(rule: SignInRule) -> str:
    """What a challenge says beside `error` (section 3), with a comma behind each."""
    said = {"error_description": _DESCRIPTION}
    if rule.acr_values:
        said["acr_values"] = " ".join(rule.acr_values)
    if rule.max_age is not None:
        said["max_age"] = str(int(rule.max_age.total_seconds()))
    return "".join(f'{name}="{value}", ' for name, value in said.items())


def standing_version(
    session: Session, grant_id: str, client_id: str, subject_id: str, now: datetime
) -> str | None:
    """The version of a grant that a code of a later sign-in is for.

    None for who did not give it, for another client, and once it has ended.
    """
    number = session.exec(
        select(Consent.version_number).where(
            Consent.grant_id == grant_id,
            Consent.client_id == client_id,
            Consent.subject_id == subject_id,
            col(Consent.state).in_(LIVING),
            Consent.valid_until > now,
        )
    ).one_or_none()
    return None if number is None else version_id_of(grant_id, number)
