"""Who a recipient is at its broker, as its configuration says."""

from typing import Protocol

from vault.jose import Jwk


class RelyingParty(Protocol):
    """The members of a recipient's configuration that speaking to a broker needs. The keys are private."""

    @property
    def issuer(self) -> str: ...

    @property
    def client_id(self) -> str: ...

    @property
    def redirect_uri(self) -> str: ...

    @property
    def client_key(self) -> Jwk: ...

    @property
    def proof_key(self) -> Jwk: ...
