"""`create_app(installation)`: the table of contents of the program. Nothing happens at import."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from anyio import to_thread
from fastapi import FastAPI

from broker.api import catalogue, decisions, deliveries, holders, log
from broker.errors import install_error_handlers
from broker.health import router as health_router
from broker.installation import Installation
from broker.lane.openapi import describe_lane
from broker.lane.routes import lane_routes, open_lane
from broker.logs import TraceMiddleware
from broker.oauth.routes import create_router as oauth_router
from broker.request_limits import RequestLimits
from broker.web.error_pages import render_error_page
from broker.web.routes import install_pages
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
    app.state.installation = installation
    app.router.routes.extend(lane_routes())
    for router in (
        health_router,
        oauth_router(),
        deliveries.router,
        decisions.router,
        holders.router,
        catalogue.router,
        log.router,
        log.audit_router,
    ):
        app.include_router(router)
    install_pages(app)
    install_error_handlers(app, render_error_page)
    describe_lane(app)
    app.add_middleware(RequestLimits, body_bytes=installation.settings.limits.body_bytes)
    app.add_middleware(SecurityHeaders, is_https=installation.settings.server.issuer.startswith("https://"))
    app.add_middleware(TraceMiddleware)
    return app


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    """The lane's stores live as long as the worker; threads and connections are one number."""
    installation: Installation = app.state.installation
    to_thread.current_default_thread_limiter().total_tokens = installation.settings.server.threads
    async with open_lane(installation) as lane:
        app.state.lane = lane
        yield
