"""`create_app(installation)`: the table of contents of the program. Nothing happens at import."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

from anyio import to_thread
from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from broker.api import (
    catalogue,
    deals,
    decisions,
    deliveries,
    emergencies,
    holders,
    log,
    obligations,
    statistics,
    userinfo,
)
from broker.client_address import TrustedProxies
from broker.client_certificate import takes_certificates
from broker.errors import install_error_handlers
from broker.health import router as health_router
from broker.installation import Installation
from broker.interaction_id import InteractionIds
from broker.lane.routes import lane_routes, open_lane
from broker.logs import TraceMiddleware, quiet_authlib
from broker.oauth import grant_routes, logout_routes, registration_routes
from broker.oauth.challenges import UNBOUND, Challenges
from broker.oauth.dpop_nonce import DpopNonces
from broker.oauth.routes import create_router as oauth_router
from broker.openapi import describe
from broker.request_limits import RateLimits, RequestLimits
from broker.signals.routes import router as signals_router
from broker.web.error_pages import render_error_page
from broker.web.routes import install_pages, web_router
from broker.web.security_headers import SecurityHeaders

TITLE: Final = "MyData consent broker"


def create_app(installation: Installation) -> FastAPI:
    """The broker as an ASGI app over one open installation."""
    app = FastAPI(
        title=TITLE,
        version="0.1.0",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=_life,
    )
    quiet_authlib()
    app.state.installation = installation
    app.router.routes.extend(_routes())
    install_pages(app)
    install_error_handlers(app, render_error_page)
    describe(app)
    settings = installation.settings
    if settings.oauth.dpop_nonce:
        app.add_middleware(DpopNonces, installation=installation)
    if takes_certificates(settings.server):
        app.add_middleware(Challenges)
    elif settings.oauth.oidc_clients:
        app.add_middleware(Challenges, below=UNBOUND)
    proxies = TrustedProxies(settings.server.trusted_proxies)
    app.add_middleware(RateLimits, limits=settings.limits, proxies=proxies, clock=installation.clock)
    app.add_middleware(RequestLimits, limits=settings.limits)
    app.add_middleware(SecurityHeaders, is_https=settings.server.issuer.startswith("https://"))
    app.add_middleware(InteractionIds)
    app.add_middleware(TraceMiddleware)
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Every address. They hold nothing of an installation: a process builds them once for all its apps."""
    router = APIRouter()
    router.routes.extend(lane_routes())
    for part in (
        health_router,
        oauth_router(),
        grant_routes.router,
        logout_routes.router,
        registration_routes.router,
        deliveries.router,
        obligations.router,
        decisions.router,
        deals.router,
        emergencies.router,
        holders.router,
        signals_router,
        catalogue.router,
        log.router,
        log.audit_router,
        statistics.router,
        userinfo.router,
        web_router(),
    ):
        router.include_router(part)
    return tuple(router.routes)


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    """The lane's stores live as long as the worker; threads and connections are one number."""
    installation: Installation = app.state.installation
    to_thread.current_default_thread_limiter().total_tokens = installation.settings.server.threads
    async with open_lane(installation) as lane:
        app.state.lane = lane
        yield
