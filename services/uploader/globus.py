"""The adapter to Globus: every call to its Auth and Transfer services. Only this adapter knows globus-sdk.

The SDK is synchronous and promises nothing for a client used by several threads, so one client has one worker thread. Its own
retries are kept short (seconds); the job's budget decides about the long ones. Every failure is raised as one of our error
families (`family`), with a message for the person who has to act, and without any secret or token.
"""

import asyncio
import ipaddress
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
from globus_sdk import (
    ClientApp,
    ConfidentialAppAuthClient,
    GlobusAPIError,
    GlobusAppConfig,
    TransferClient,
)
from globus_sdk.transport import RequestsTransport, RetryConfig

from services.uploader.globus_documents import (
    PAGE_SIZE,
    delete_document,
    label_filter,
    make_directory,
    pages,
    pause_text,
    read_endpoint,
    read_stat,
    task_view,
    text_of,
    transfer_document,
    unless_missing,
)
from services.uploader.globus_errors import FORESEEN, family
from services.uploader.model import (
    DeleteRequest,
    Endpoint,
    Event,
    NotFound,
    Remote,
    TaskView,
    Transferred,
    TransferRequest,
)
from services.uploader.paths import base_parts
from shared import log
from shared.errors import ArchiverError, ConfigurationError, PermanentError
from shared.infra.settings import UploaderSettings

logger = log.get(__name__)

AUTH_URL = "https://auth.globus.org/"
TRANSFER_URL = "https://transfer.api.globus.org/"
APP_NAME = "cs-archiver"

T = TypeVar("T")


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Globus. Empty URLs mean the real service; both are given for the emulator.

    earlier_endpoints: collections of earlier settings that still have unfinished work; one of them may be gone.
    http_timeout_s: seconds one request may take. max_retries: repetitions by the SDK, each after a second or two. Below one,
    not even an expired token would be renewed.
    """

    client_id: str
    client_secret: str
    source_endpoint: str
    destination_endpoint: str
    earlier_endpoints: tuple[str, ...] = ()
    auth_url: str = ""
    transfer_url: str = ""
    http_timeout_s: float = 30.0
    max_retries: int = 2

    def __post_init__(self) -> None:
        """Check the settings. Raises ConfigurationError if the secret would be sent in the clear, or if only one URL is given."""
        if self.max_retries < 1:
            raise ConfigurationError("max_retries must be 1 at least: an expired token is renewed by a repetition.")
        if bool(self.auth_url) != bool(self.transfer_url):
            raise ConfigurationError(
                "GLOBUS_AUTH_URL and GLOBUS_TRANSFER_URL belong together: set both, or none for the real Globus."
            )
        for name, url in (("GLOBUS_AUTH_URL", self.auth_url), ("GLOBUS_TRANSFER_URL", self.transfer_url)):
            if url and urlsplit(url).scheme != "https" and not _is_loopback(url):
                raise ConfigurationError(f"{name}: http:// is only for this machine, the client secret would travel readably.")

    def __repr__(self) -> str:
        return f"Connection(client_id={self.client_id!r}, transfer_url={self.transfer_url or TRANSFER_URL!r})"


def connection(settings: UploaderSettings, earlier_endpoints: tuple[str, ...] = ()) -> Connection:
    """Return the part of the uploader's settings that reaches Globus."""
    return Connection(
        client_id=settings.globus_client_id,
        client_secret=settings.globus_client_secret,
        source_endpoint=settings.globus_source_endpoint,
        destination_endpoint=settings.globus_destination_endpoint,
        earlier_endpoints=earlier_endpoints,
        auth_url=settings.globus_auth_url,
        transfer_url=settings.globus_transfer_url,
    )


class Probe(msgspec.Struct, frozen=True):
    """The findings of the start-up check. `problems` are sentences for the administrator; empty when all is well."""

    problems: tuple[str, ...]
    source: Endpoint | None
    destination: Endpoint | None
    source_listed: bool
    destination_listed: bool


# --- construction ---------------------------------------------------------------------------------------------------------------


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _transport(url: str, settings: Connection) -> RequestsTransport:
    transport = RequestsTransport(http_timeout=settings.http_timeout_s)
    if _is_loopback(url):
        # Requests obey a proxy of the environment even for this machine, and that would hide the emulator.
        transport.session.trust_env = False
    return transport


class _Clients(NamedTuple):
    """The two clients of the SDK, with transports of our own, which the clients do not close."""

    transfer: TransferClient
    auth: ConfidentialAppAuthClient

    def close(self) -> None:
        self.transfer.close()
        self.transfer.transport.close()
        self.auth.close()
        self.auth.transport.close()


def _build(settings: Connection, data_access: list[str]) -> _Clients:
    """Build the clients without any request. The addresses are always given: an SDK variable in the environment must not win."""
    auth_url, transfer_url = settings.auth_url or AUTH_URL, settings.transfer_url or TRANSFER_URL
    auth = ConfidentialAppAuthClient(
        settings.client_id,
        settings.client_secret,
        base_url=auth_url,
        transport=_transport(auth_url, settings),
        # One RetryConfig per client: a shared one collects every client's checks.
        retry_config=RetryConfig(max_retries=settings.max_retries),
    )
    # Tokens stay in memory: the SDK's file has no address in its key, so an emulator's token could be shown to the real Globus.
    app = ClientApp(APP_NAME, login_client=auth, config=GlobusAppConfig(token_storage="memory"))  # noqa: S106 - a kind of storage
    transfer = TransferClient(
        app=app,
        base_url=transfer_url,
        transport=_transport(transfer_url, settings),
        retry_config=RetryConfig(max_retries=settings.max_retries),
    )
    if data_access:
        transfer.add_app_data_access_scope(data_access)
    return _Clients(transfer, auth)


# --- the adapter ----------------------------------------------------------------------------------------------------------------


class Globus:
    """One service account at Globus. The collections of the settings are checked at the first use.

    Every method raises only ArchiverError (see `family`), may be cancelled (its request then still ends by itself), and may be
    repeated: submissions are idempotent by their id.
    """

    def __init__(self, settings: Connection) -> None:
        self._settings = settings
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="globus")
        self._clients: _Clients | None = None  # used by the worker thread only

    @property
    def is_emulated(self) -> bool:
        """Return True if this is not the real Globus. The UI shows it."""
        return bool(self._settings.transfer_url)

    @property
    def transfer_url(self) -> str:
        return self._settings.transfer_url or TRANSFER_URL

    async def close(self) -> None:
        """Wait for the running request to end (its time-out is the longest wait) and close the connections."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
        if self._clients is not None:
            self._clients.close()
            self._clients = None

    async def _call(self, doing: str, work: Callable[[TransferClient], T]) -> T:
        def run() -> T:
            try:
                return work(self._ready())
            except GlobusAPIError as error:
                request = {"http_status": error.http_status, "code": error.code, "request_id": error.request_id}
                logger.info("globus_refused", message=f"Globus refused while {doing}.", **request)
                # Without its cause: the SDK attaches the whole answer, which a traceback in a log would then show.
                raise self._family(error, doing) from None
            except FORESEEN as error:
                raise self._family(error, doing) from error

        return await asyncio.get_running_loop().run_in_executor(self._executor, run)

    def _family(self, error: Exception, doing: str) -> ArchiverError:
        return family(error, doing, client_id=self._settings.client_id, secret=self._settings.client_secret)

    def _ready(self) -> TransferClient:
        """Return the client with the scopes its collections need. The first token must ask for them; later has no effect."""
        if self._clients is None:
            clients = _build(self._settings, [])
            try:
                needing = self._needing_data_access(clients.transfer)
            except BaseException:
                clients.close()
                raise
            if needing:
                clients.close()
                clients = _build(self._settings, needing)
            self._clients = clients
        return self._clients.transfer

    def _needing_data_access(self, client: TransferClient) -> list[str]:
        ends = {self._settings.source_endpoint, self._settings.destination_endpoint}
        needing = {end for end in ends if read_endpoint(client, end).needs_data_access}
        for end in set(self._settings.earlier_endpoints) - ends:
            try:
                if read_endpoint(client, end).needs_data_access:
                    needing.add(end)
            except GlobusAPIError as error:  # work that is left there waits; it must not hold up the collections that are in use
                logger.warning("earlier_collection", message=str(self._family(error, f"asking about collection {end}")))
        return sorted(needing)

    # --- submissions and tasks ---

    async def submission_id(self) -> str:
        """Return a new id. Store it before it is used."""
        return await self._call("asking for a submission id", lambda client: text_of(client.get_submission_id()["value"]))

    async def submit_transfer(self, request: TransferRequest) -> str:
        """Submit a transfer and return the task id.

        The same request again (lost answer, crash) gives the same task, because Globus knows the submission id.
        """
        return await self._call(
            "submitting a transfer", lambda client: text_of(client.submit_transfer(transfer_document(request))["task_id"])
        )

    async def submit_delete(self, request: DeleteRequest) -> str:
        """Submit a removal and return the task id, as `submit_transfer`."""
        return await self._call(
            "submitting a removal", lambda client: text_of(client.submit_delete(delete_document(request))["task_id"])
        )

    async def task(self, task_id: str) -> TaskView | None:
        """Return the task as it is now; None when Globus says that it knows no such task (which is never a success)."""
        return await self._call(
            "asking for a task", lambda client: unless_missing(lambda: task_view(client.get_task(task_id).data))
        )

    async def cancel(self, task_id: str) -> None:
        """Ask Globus to end a task. `task` tells when it has ended. A finished or unknown task is no error."""

        def work(client: TransferClient) -> None:
            unless_missing(lambda: client.cancel_task(task_id))

        await self._call("cancelling a task", work)

    async def find_tasks(self, label: str) -> list[TaskView]:
        """Return all tasks with exactly this label, newest first. This finds a task whose id was lost."""

        def work(client: TransferClient) -> list[TaskView]:
            found = pages(lambda offset: client.task_list(limit=PAGE_SIZE, offset=offset, filter=label_filter(label)).data)
            return [view for view in map(task_view, found) if view.label == label]

        return await self._call("looking for a task by its label", work)

    async def events(self, task_id: str, limit: int = 10) -> list[Event]:
        """Return the newest events of a task, newest first, for display."""
        return await self._call(
            "reading the events of a task",
            lambda client: msgspec.convert(client.task_event_list(task_id, limit=limit).data["DATA"], type=list[Event]),
        )

    async def successful_transfers(self, task_id: str) -> list[Transferred]:
        """Return the files that a finished task really moved. Files that were skipped as equal are not included."""
        return await self._call(
            "reading what a task moved",
            lambda client: msgspec.convert(
                list(client.paginated.task_successful_transfers(task_id).items()), type=list[Transferred]
            ),
        )

    async def pause_info(self, task_id: str) -> str:
        """Return who paused a task and why, as the administrators wrote it; empty when they wrote nothing."""
        return await self._call("asking why a task is paused", lambda client: pause_text(client.task_pause_info(task_id).data))

    # --- the destination ---

    async def stat(self, endpoint: str, path: str) -> Remote | NotFound:
        """Return what is at a path of a collection.

        NotFound is returned only when Globus itself says so. Every other answer raises, because absence is what allows a transfer.
        If the collection cannot stat, this lists the parent and looks the name up there.
        """
        return await self._call(f"looking at {path} at the destination", lambda client: read_stat(client, endpoint, path))

    async def endpoint(self, endpoint_id: str) -> Endpoint:
        """Return a collection as Globus describes it."""
        return await self._call("asking about a collection", lambda client: read_endpoint(client, endpoint_id))

    async def probe(self, source_path: str, destination_base: str) -> Probe:
        """Check at start that the source directory and the destination base can be listed. A missing base is made.

        Raises TransientError when Globus cannot be reached at all. `problems` says what somebody has to fix.
        """
        source = await self._reachable(self._settings.source_endpoint, "source")
        target = await self._reachable(self._settings.destination_endpoint, "destination")
        problems = [end for end in (source, target) if isinstance(end, str)]
        listed = [False, False]
        if not problems:
            places = (
                (self._settings.source_endpoint, source_path, "GLOBUS_SOURCE_COLLECTION_PATH", False),
                (self._settings.destination_endpoint, destination_base, "GLOBUS_DESTINATION_BASE_PATH", True),
            )
            found = [await self._listable(endpoint, path, setting, make=make) for endpoint, path, setting, make in places]
            listed = [not side for side in found]
            problems += [problem for side in found for problem in side]
        ends = [end if isinstance(end, Endpoint) else None for end in (source, target)]
        return Probe(tuple(problems), ends[0], ends[1], *listed)

    async def _reachable(self, endpoint_id: str, role: str) -> Endpoint | str:
        try:
            end = await self.endpoint(endpoint_id)
        except PermanentError as error:
            return f"The {role} collection {endpoint_id} cannot be used. {error}"
        if end.disable_verify:
            return f"The {role} collection {endpoint_id} has checksum verification disabled, so arrival cannot be proven: enable it there."
        if end.gcp_paused:
            return f"The {role} collection {endpoint_id} is paused: start Globus Connect Personal there."
        return end

    async def _listable(self, endpoint_id: str, path: str, setting: str, *, make: bool) -> list[str]:
        directory = path.rstrip("/") + "/"

        def work(client: TransferClient) -> bool:
            # One entry is enough to know that the directory can be read.
            return unless_missing(lambda: client.operation_ls(endpoint_id, path=directory, limit=1)) is not None

        try:
            if await self._call(f"listing {directory} ({setting})", work):
                return []
            if not make:
                return [f"{setting}: the directory {directory} does not exist on collection {endpoint_id}."]
            parts = base_parts(path, setting)
            for count in range(1, len(parts) + 1):
                await self._make("/" + "/".join(parts[:count]), endpoint_id, setting)
        except PermanentError as error:
            return [f"{setting}: {error}"]
        return []

    async def _make(self, directory: str, endpoint_id: str, setting: str) -> None:
        await self._call(f"making {directory} ({setting})", lambda client: make_directory(client, endpoint_id, directory))
