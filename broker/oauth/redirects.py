"""What a browser carries back to a client, and the redirect in the form that Authlib writes to."""

from dataclasses import dataclass

from starlette.responses import Response

from broker.oauth.errors import OAuthCode
from broker.oauth.kept_parameters import Kept
from broker.oauth.models import PushedRequest
from broker.oauth.tokens import IssuedCode


@dataclass(frozen=True, slots=True)
class AuthorizationAnswer:
    """A code, or why there is none."""

    pushed: PushedRequest
    kept: Kept
    issued: IssuedCode | None = None
    refusal: OAuthCode = OAuthCode.ACCESS_DENIED
    description: str | None = None


class Redirect(Response):
    """Authlib's `iss` extension reads and sets `location`, which Starlette does not have."""

    @property
    def location(self) -> str:
        """Where the browser goes."""
        return self.headers["Location"]

    @location.setter
    def location(self, value: str) -> None:
        self.headers["Location"] = value
