"""Prometheus metrics of a process. Each service serves its own on its health port; the gateway serves them at /metrics.

Names begin with `cs_archiver_`. Units are seconds and bytes, never milliseconds or megabytes. Labels have few values: never a
job, a path or a user.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
COLLECTED = CollectorRegistry()
ProcessCollector(registry=COLLECTED)
PlatformCollector(registry=COLLECTED)

_MINUTES = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)

STAGE_SECONDS = Histogram(
    "cs_archiver_stage_seconds", "How long a stage that ended took.", ["stage"], buckets=_MINUTES, registry=COLLECTED
)
STAGE_BYTES = Counter("cs_archiver_stage_bytes", "Bytes that stages went through.", ["stage"], registry=COLLECTED)
TRANSITIONS = Counter("cs_archiver_transitions", "States that jobs entered by this process.", ["status"], registry=COLLECTED)
RETRIES = Counter("cs_archiver_retries", "Tries that were spent from a budget.", ["operation"], registry=COLLECTED)
CLAIMS = Counter("cs_archiver_claims", "Jobs that were taken up.", registry=COLLECTED)
RELAYED = Counter("cs_archiver_events_published", "Events that this process published as the elected relay.", registry=COLLECTED)


def render() -> bytes:
    """Return all metrics of this process as Prometheus text."""
    return generate_latest(COLLECTED)
