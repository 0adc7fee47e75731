"""A request to an OAuth endpoint: plain values, and what answering needs. Nothing of Starlette inside."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from sqlmodel import Session

from broker.deps import FormData
from broker.installation import Installation
from broker.oauth.dpop import Proof, accept_proof
from broker.oauth.errors import OAuthCode, OAuthError


@dataclass(frozen=True)
class Call:
    """One POST. `path` begins with a slash; `raw_proofs` has one entry for each DPoP header."""

    installation: Installation
    session: Session
    now: datetime
    path: str
    form: FormData
    raw_proofs: tuple[str, ...]

    @property
    def issuer(self) -> str:
        """From the settings, never from Host."""
        return self.installation.settings.server.issuer

    @property
    def url(self) -> str:
        """The address of this endpoint, as a proof must name it."""
        return self.issuer + self.path

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """The form's parameters. Raises OAuthError invalid_request."""
        return parameters_of(self.form)

    def accept_proof(self) -> Proof:
        """The request's DPoP proof, verified and used up. Raises InvalidProofError."""
        return accept_proof(self.session, self.raw_proofs, method="POST", url=self.url, now=self.now)


def parameters_of(form: FormData) -> dict[str, str]:
    """The form with every parameter once; an empty value counts as absent (RFC 6749 section 3.1).

    Raises OAuthError invalid_request for a parameter that came twice.
    """
    if any(len(values) > 1 for values in form.values.values()):
        raise OAuthError(OAuthCode.INVALID_REQUEST, "a parameter came more than once")
    return {name: values[0] for name, values in form.values.items() if values[0]}
