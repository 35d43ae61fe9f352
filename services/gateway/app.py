"""Assemble the gateway. Only this module knows all of its parts."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import uvicorn
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from services.gateway import documents
from services.gateway.admin import background
from services.gateway.admin.users import Users
from services.gateway.api import archives as archive_routes
from services.gateway.api import (
    auth,
    config,
    files,
    folders,
    history,
    jobs,
    live,
    media,
    packs,
    queue,
    schema,
    system,
    tasks,
    users,
)
from services.gateway.api.system import System
from services.gateway.auth.limits import Limits
from services.gateway.auth.security import Security, Tokens
from services.gateway.files.archives import Archives, Defaults
from services.gateway.files.auto_archive import AutoArchiver
from services.gateway.files.conflicts import Busy
from services.gateway.files.files import Files
from services.gateway.files.media import Media
from services.gateway.files.packs import Packs
from services.gateway.files.quota import Quotas
from services.gateway.files.uploads import Uploads
from services.gateway.files.workspaces import Workspaces
from services.gateway.gate import Asgi, Gate
from services.gateway.http import bodies, problems
from services.gateway.http.request_timeout import timed
from services.gateway.jobs.history import History
from services.gateway.jobs.jobs import Jobs
from services.gateway.jobs.peers import Peers
from services.gateway.live.hub import Hub
from services.gateway.live.wire import Wire
from services.gateway.metrics import CountedRequests, MetricsPage
from services.gateway.pages import Pages
from services.gateway.records.audit import AuditLog
from services.gateway.records.config import Configuration
from services.gateway.records.host_stats import HostStats
from services.gateway.records.store import Store
from shared import log
from shared.domain.requests import ArchiveFormat
from shared.errors import ConfigurationError
from shared.infra.bus import Bus
from shared.infra.settings import GatewaySettings
from shared.service.runtime import Runtime

logger = log.get(__name__)

QUERIES = Path(__file__).with_name("queries.sql")
_BODY_BYTES = 64 * 1024  # no JSON request is larger; uploads are streamed and have their own limits
_STOP_SECONDS = 3


@dataclass(frozen=True)
class Parts:
    """The objects that the routes use."""

    store: Store
    security: Security
    limits: Limits
    peers: Peers
    jobs: Jobs
    hub: Hub
    host_stats: HostStats
    bus: Bus
    system: System
    users: Users
    history: History
    log: AuditLog
    configuration: Configuration
    archives: Archives
    auto: AutoArchiver
    workspaces: Workspaces
    files: Files
    uploads: Uploads
    packs: Packs
    quotas: Quotas
    media: Media


def assemble(runtime: Runtime[GatewaySettings]) -> Parts:
    """Build all parts from the settings and the two connections."""
    settings = runtime.settings
    store, peers = Store(runtime.db), Peers(runtime.bus)
    tokens = Tokens(settings.jwt_secret_key, settings.jwt_algorithm, settings.jwt_access_token_expire_minutes)
    security = Security(store, tokens, runtime.tuned)
    host_stats = HostStats(store, settings.storage_base_path)
    defaults = Defaults(cast("ArchiveFormat", settings.archive_default_format), settings.archive_default_level)
    configuration, workspaces = Configuration(store, runtime.bus), Workspaces(settings.workspaces)
    quotas = Quotas(store, configuration, workspaces, settings.workspaces)
    limits = Limits(runtime.tuned)
    jobs = Jobs(store, peers, str(settings.qnap_base_path), limits)
    return Parts(
        store=store,
        security=security,
        limits=limits,
        peers=peers,
        jobs=jobs,
        hub=Hub(store, runtime.bus, host_stats),
        host_stats=host_stats,
        bus=runtime.bus,
        system=System(settings.storage_base_path, settings.globus_emulated),
        users=Users(store, security, workspaces),
        history=History(store),
        log=AuditLog(store),
        configuration=configuration,
        archives=Archives(store, peers, configuration, quotas, limits, defaults),
        auto=AutoArchiver(store, workspaces, configuration, limits, settings.archive_default_level),
        workspaces=workspaces,
        files=Files(store, configuration, workspaces, peers, quotas),
        uploads=Uploads(store, quotas, workspaces, Busy(store)),
        packs=Packs(store, configuration, workspaces, peers, quotas, jobs, limits),
        quotas=quotas,
        media=Media(
            store,
            peers,
            configuration,
            jobs,
            str(settings.qnap_base_path),
            settings.storage_base_path,
            settings.compression_size_estimate_ratio,
        ),
    )


def routes(parts: Parts) -> Litestar:
    """Build the API, without the gate in front of it."""
    api = Router(
        "/api",
        route_handlers=[
            auth.router,
            users.users,
            users.tokens,
            folders.list_folders,
            media.preview_folder,
            media.estimate_folders,
            media.router,
            folders.list_places,
            files.router,
            files.workspaces,
            packs.router,
            jobs.router,
            archive_routes.router,
            *live.routes,
            history.list_audit,
            config.router,
            tasks.router,
            tasks.control,
            queue.get_queue,
            queue.move_queued,
            system.get_status,
            system.check_globus,
            system.get_health,
            system.get_ready,
        ],
    )
    made = Litestar(
        route_handlers=[api, live.follow, live.follow_dashboard, schema.page, schema.asyncapi],
        dependencies={name: Provide(_given(getattr(parts, name)), sync_to_thread=False) for name in Parts.__dataclass_fields__},
        exception_handlers={Exception: problems.answer},
        before_request=bodies.check,
        before_send=[documents.name_methods],
        request_max_body_size=_BODY_BYTES,
        openapi_config=OpenAPIConfig(
            title="CS Archiver",
            version=version("cs-archiver"),
            description="Archives NAS folders to Globus and deletes no byte that is not proven to be at the destination.",
            path="/schema",
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
            components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}),
            security=[{"bearer": []}],
            use_handler_docstrings=True,
        ),
        logging_config=None,
    )
    documents.complete(made.openapi_schema, documents.strict_shapes(made))
    return made


def _given(part: Any) -> Any:
    def provide() -> Any:
        return part

    return provide


class _Server(uvicorn.Server):
    """A server that stops on request, not on signals. The runtime handles signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening(host: str, port: int) -> socket.socket:
    """Open a listening socket. Raises ConfigurationError when the address is not available."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family, backlog=2048)
        # Accepted connections inherit TCP_NODELAY. asyncio sets it only on sockets with an explicit protocol number, and this
        # socket has none. Without it, each response body waits for the client's delayed acknowledgement of the headers: 40 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    except OSError as exc:
        raise ConfigurationError(f"GATEWAY_HOST, GATEWAY_PORT: cannot listen on {host} port {port}: {exc.strerror}.") from exc


async def _first_users(parts: Parts, initial_password: str) -> None:
    """Create the first admin if there are no users, then a workspace for every user, including that admin."""
    await background.first_admin(parts.store, parts.security, initial_password)
    await background.make_workspaces(parts.store, parts.workspaces)


async def serve(runtime: Runtime[GatewaySettings], sock: socket.socket) -> None:
    """Serve on a listening socket until cancelled, then let running requests finish."""
    background.check_initial_password(runtime.settings.admin_initial_password)
    parts = assemble(runtime)
    wake = asyncio.Event()
    await runtime.bus.on_nudge(wake.set)
    metrics_page = MetricsPage(parts.store, parts.hub, parts.security)
    gate = CountedRequests(Gate(routes(parts), Pages(runtime.settings.ui_path), parts.security, parts.limits, metrics_page))
    async with _http(gate, sock, runtime.settings) as serving, asyncio.TaskGroup() as group:
        runtime.at_work.set()
        group.create_task(_until_ended(serving))
        group.create_task(_first_users(parts, runtime.settings.admin_initial_password))
        group.create_task(background.serve_cancels(parts.store, wake))
        group.create_task(background.forget_expired_tokens(parts.store))
        group.create_task(background.fold_totals(parts.store))
        group.create_task(background.watch_machine(parts.host_stats))
        group.create_task(background.tidy_workspaces(parts.uploads, parts.workspaces))
        group.create_task(parts.auto.keep())
        group.create_task(parts.quotas.usages.keep())
        group.create_task(parts.hub.run())


@contextlib.asynccontextmanager
async def _http(gate: Asgi, sock: socket.socket, settings: GatewaySettings) -> AsyncIterator["asyncio.Task[None]"]:
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its INFO lines show the token in a WebSocket's URL
    config = uvicorn.Config(
        gate,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        http=timed(settings.request_head_seconds),
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        ws_max_size=_BODY_BYTES,
        ws=Wire,
        ws_per_message_deflate=False,  # small messages to many clients: compressing each one per client costs more than it saves
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    address = sock.getsockname()
    logger.info("listening", message=f"Listening on http://{address[0]}:{address[1]}", port=address[1])
    try:
        yield serving
    finally:
        server.should_exit = True
        await serving


async def _until_ended(serving: "asyncio.Task[None]") -> None:
    await asyncio.shield(serving)
    raise RuntimeError("The HTTP server ended by itself.")


async def body(runtime: Runtime[GatewaySettings]) -> None:
    """The runtime's entry point."""
    await serve(runtime, listening(runtime.settings.gateway_host, runtime.settings.gateway_port))
