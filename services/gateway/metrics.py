"""Prometheus metrics of the gateway: HTTP and WebSocket traffic, and job and event figures from the database."""

import time
from collections.abc import Iterable
from ipaddress import ip_address

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.gateway.auth.security import Security
from services.gateway.gate import Asgi, Message, Receive, Scope, Send, bearer, session_cookie
from services.gateway.http.http_errors import unauthorized
from services.gateway.live.hub import CHANNELS, Hub
from services.gateway.records.store import Store
from shared.infra import metrics

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
REQUESTS = Counter("cs_archiver_http_requests", "Requests answered.", ["method", "route", "status"], registry=metrics.COLLECTED)
LATENCY = Histogram(
    "cs_archiver_http_seconds", "Until an answer began.", ["method", "route"], buckets=_SECONDS, registry=metrics.COLLECTED
)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class CountedRequests:
    """An ASGI application that counts requests. Routes are labelled by template, so that there are few labels."""

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in _METHODS else "other"
                route = str(scope.get("path_template") or "page")
                REQUESTS.labels(method, route, str(message["status"])).inc()
                LATENCY.labels(method, route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, counted)


class MetricsPage:
    """`GET /metrics`, for logged-in users, and without a login for this machine itself."""

    def __init__(self, store: Store, hub: Hub, security: Security) -> None:
        self._store = store
        self._hub = hub
        self._security = security

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        token = bearer(scope["headers"]) or session_cookie(scope["headers"])
        if token is not None:
            await self._security.identify(token)
        elif not is_local(scope):
            raise unauthorized("Figures are shown to this machine itself, or with a token.")
        body = metrics.render() + await self._of_all()
        headers = [(b"content-type", metrics.CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _of_all(self) -> bytes:
        states, waits, lag = await self._store.job_states(), await self._store.waits(), await self._store.relay_lag()
        collected = CollectorRegistry()
        jobs = GaugeMetricFamily("cs_archiver_jobs", "Jobs by kind and state.", labels=["kind", "status"])
        for row in states:
            jobs.add_metric([row["kind"], row["status"]], row["n"])
        clients = GaugeMetricFamily("cs_archiver_live_clients", "Who watches through this gateway.", labels=["channel"])
        for channel in CHANNELS:
            clients.add_metric([channel], sum(client.channel == channel for client in self._hub.clients))
        sent = self._hub.sent + sum(client.sent for client in self._hub.clients)
        collected.register(
            _Ready(
                [
                    jobs,
                    clients,
                    CounterMetricFamily("cs_archiver_live_messages", "Live messages sent.", value=sent),
                    CounterMetricFamily(
                        "cs_archiver_live_dropped", "Clients dropped because they did not read.", value=self._hub.dropped
                    ),
                    _gauge("queue_age_seconds", "How long the oldest queued job has waited.", waits["queue_age"] or 0),
                    _gauge("jobs_paused", "Paused jobs.", waits["paused"]),
                    _gauge("cleanups_owed", "What ended jobs left and nobody removed yet.", waits["cleanups"]),
                    _gauge("events_unpublished", "Events that the stream does not have yet.", lag["waiting"]),
                    _gauge("relay_lag_seconds", "Age of the oldest of them.", lag["oldest_seconds"] or 0),
                ]
            )
        )
        return generate_latest(collected)


class _Ready:
    """Metric families that were already read, in the form that the library expects."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"cs_archiver_{name}", text, value=value)


def is_local(scope: Scope) -> bool:
    """Return whether the request comes from a program on this machine and not from a proxy."""
    names = {name.lower() for name, _ in scope["headers"]}
    if names & {b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via"} or not scope.get("client"):
        return False
    try:
        return ip_address(scope["client"][0]).is_loopback
    except ValueError:
        return False
