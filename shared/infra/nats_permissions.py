"""NATS permissions in one table, from which the configurations of the embedded server and of compose are made.

Readers have their own account with a copy of the stream. Permissions apply only to a request's subject. The body says where a
consumer delivers, and the reply says where the answer goes. In the services' account a reader could name `rpc.*`, `live.*` or
`job.*` there. In the readers' account nobody listens on those subjects.

Every user of ours connects with `inbox_prefix="_INBOX_<user>"`, so that no user receives another user's replies.
"""

from collections.abc import Mapping

STREAM = "JOBS"
SUBJECTS = "job.>"
SERVICES = ("scanner", "compressor", "uploader", "gateway")
DURABLES = {"compressor": "job.queued", "uploader": "job.compressed", "scanner": "job.verified"}
"""Durable consumer (named after its service) -> the one subject that wakes the service."""
PROVISION = "provision"
PROVISION_READERS = "provision_readers"
"""The user `provision` in the readers' account; it has the same password."""
SUBSCRIBER = "subscriber"
USERS = (PROVISION, *SERVICES, SUBSCRIBER)
"""All users with a password."""
REBUILD = "rpc.provision.rebuild"
"""The relay sends a request here to have a damaged stream recreated. The provisioning process listens."""
INSIDE = "SERVICES"
OUTSIDE = "READERS"
"""The two accounts."""
READING = "services.API"
"""In the readers' account: the part of the services' JetStream API that maintains the copy. A reader may call only `LOOKUP`."""
LOOKUP = "STREAM.NAMES"
"""A client that names no stream asks which stream has its subject. The copy has no subject, so the services' account answers."""
COPYING = "copy.events"
"""The subject on which the stream's events reach the copy."""
CONSUMERS = 100
"""Maximum number of consumers of all readers together."""
ACK_PENDING = 1_000
"""Maximum unacknowledged events per consumer of a reader."""
IDLE_S = 7 * 24 * 3600
"""A reader's consumer is removed after this many seconds without a request, even if it is durable."""
MAPPINGS = {f"$JS.API.CONSUMER.CREATE.{STREAM}": f"$JS.API.CONSUMER.CREATE.{STREAM}.{{{{random(2147483647)}}}}"}
"""The server's `mappings` block, which is applied before permissions are checked.

The old subject for temporary consumers (used by nats-py's `js.subscribe`) takes the consumer's name from the body, where no
permission applies. With `"name": "compressor"` it rewrites that durable's filter or lets it expire (seen with nats-server
2.15.1). The mapping leads to the newer subject with a random number as the name. The server inserts that number, and it takes
precedence over the body.
"""


def permissions(user: str) -> dict[str, object]:
    """Return the `permissions` block of one user's NATS configuration. Pure. Raises KeyError for an unknown user."""
    if user in {PROVISION, PROVISION_READERS}:
        return {"publish": {"allow": [">"]}, "subscribe": {"allow": [">"]}}
    if user == SUBSCRIBER:
        return _subscriber()
    if user in SERVICES:
        return _service(user)
    raise KeyError(user)


def accounts(passwords: Mapping[str, str], copy_bytes: int) -> dict[str, object]:
    """Return the `accounts` block: the services with the stream, the readers with a copy of it. Pure.

    passwords: one for each of USERS. copy_bytes: the maximum size of the copy on disk.
    """
    create, flow = f"$JS.API.CONSUMER.CREATE.{STREAM}", f"$JS.FC.{STREAM}.>"
    asked = (create, f"{create}.>", flow, f"$JS.API.{LOOKUP}")
    heard = ["live.progress.>", "live.log.>", "live.config", SUBJECTS, f"{COPYING}.>"]
    inside = {user: password for user, password in passwords.items() if user != SUBSCRIBER}
    outside = {PROVISION_READERS: passwords[PROVISION], SUBSCRIBER: passwords[SUBSCRIBER]}
    return {
        INSIDE: {
            "jetstream": "enabled",
            "mappings": MAPPINGS,
            "users": _users(inside),
            "exports": [
                *({"stream": subject, "accounts": [OUTSIDE]} for subject in heard),
                *({"service": subject, "accounts": [OUTSIDE]} for subject in asked),
            ],
        },
        OUTSIDE: {
            "jetstream": {
                "max_memory": 16 * 2**20,
                "max_file": copy_bytes,
                "max_streams": 1,
                "max_consumers": CONSUMERS,
                "max_ack_pending": ACK_PENDING,
            },
            "mappings": {**MAPPINGS, f"$JS.API.{LOOKUP}": f"{READING}.{LOOKUP}"},
            "users": _users(outside),
            "imports": [
                *({"stream": {"account": INSIDE, "subject": subject}} for subject in heard),
                *(
                    {"service": {"account": INSIDE, "subject": subject}, "to": subject.replace("$JS.API", READING)}
                    for subject in asked
                ),
            ],
        },
    }


def _users(passwords: Mapping[str, str]) -> list[dict[str, object]]:
    return [{"user": user, "password": password, "permissions": permissions(user)} for user, password in passwords.items()]


def inbox_prefix(user: str) -> str:
    """Return the value for `nats.connect(inbox_prefix=...)`. Pure."""
    return f"_INBOX_{user}"


def _service(user: str) -> dict[str, object]:
    # The embedded relay requires `job.>` for every service: any of them may be elected to publish the outbox.
    publish = ["job.>", "live.>", "rpc.>", f"$JS.API.STREAM.INFO.{STREAM}", f"$JS.API.STREAM.MSG.GET.{STREAM}"]
    publish.append(f"$JS.API.DIRECT.GET.{STREAM}.>")
    subscribe = [f"{inbox_prefix(user)}.>", f"live.nudge.{user}", f"rpc.{user}.>"]
    if user in DURABLES:
        publish += [f"$JS.API.CONSUMER.{what}.{STREAM}.{user}" for what in ("INFO", "MSG.NEXT")]
        publish.append(f"$JS.ACK.{STREAM}.{user}.>")
    if user == "gateway":
        publish += _reading()
        subscribe += ["job.>", "live.>"]
    return {
        "publish": {"allow": publish, "deny": _protected() if user == "gateway" else []},
        "subscribe": {"allow": subscribe},
        "allow_responses": True,
    }


def _subscriber() -> dict[str, object]:
    """Return the permissions of a reader of the copy: all kinds of consumers and live messages, nothing of the services."""
    # Plain `_INBOX.>` serves clients without a prefix; no user of ours uses it.
    subscribe = ["job.>", "live.progress.>", "live.log.>", "live.config", f"{inbox_prefix(SUBSCRIBER)}.>", "_INBOX.>"]
    publish = [f"$JS.API.STREAM.INFO.{STREAM}", f"{READING}.{LOOKUP}", "$JS.API.INFO", *_reading()]
    return {"publish": {"allow": publish, "deny": _protected()}, "subscribe": {"allow": subscribe}}


def _reading() -> list[str]:
    """Return what a reader of history needs: temporary consumers with any name, created by any client library."""
    return [
        f"$JS.API.CONSUMER.CREATE.{STREAM}.>",  # not without the name: a server without MAPPINGS has to refuse that
        f"$JS.API.CONSUMER.INFO.{STREAM}.*",
        f"$JS.API.CONSUMER.DELETE.{STREAM}.*",
        f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.*",
        f"$JS.ACK.{STREAM}.>",
        f"$JS.FC.{STREAM}.>",
    ]


def _protected() -> list[str]:
    """Return what no reader may do to the services' durables. A denial overrides a permission."""
    denied = []
    for durable in DURABLES:
        denied += [f"$JS.API.CONSUMER.{what}.{STREAM}.{durable}" for what in ("CREATE", "DELETE", "MSG.NEXT")]
        denied += [f"$JS.API.CONSUMER.CREATE.{STREAM}.{durable}.>", f"$JS.ACK.{STREAM}.{durable}.>"]
    return denied
