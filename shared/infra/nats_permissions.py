"""Who may say and hear what on NATS: one table, from which the embedded server's and compose's configuration are made.

Readers have an account of their own, with a copy of the stream. Permissions look at the subject of a request only: its body says
where a consumer delivers, its reply where the answer goes. In the services' account a reader could name `rpc.*`, `live.*` or `job.*`
there; in its own account nobody listens on them.

Every user of ours connects with `inbox_prefix="_INBOX_<user>"`, so that nobody hears another's replies.
"""

from collections.abc import Mapping

STREAM = "JOBS"
SUBJECTS = "job.>"
SERVICES = ("scanner", "compressor", "uploader", "gateway")
DURABLES = {"compressor": "job.queued", "uploader": "job.compressed", "scanner": "job.verified"}
"""Durable consumer (named like its service) -> the one subject that wakes it."""
PROVISION = "provision"
PROVISION_READERS = "provision_readers"
"""`provision` in the readers' account; it has the same password."""
SUBSCRIBER = "subscriber"
USERS = (PROVISION, *SERVICES, SUBSCRIBER)
"""Everybody who has a password."""
REBUILD = "rpc.provision.rebuild"
"""Where the relay asks for a damaged stream to be made again; who provisions listens."""
INSIDE = "SERVICES"
OUTSIDE = "READERS"
"""The two accounts."""
READING = "services.API"
"""In the readers' account: the part of the services' JetStream API that keeps the copy going. A reader may ask `LOOKUP` alone."""
LOOKUP = "STREAM.NAMES"
"""A client that names no stream asks which one has its subject. The copy has none of its own, so the services' account answers."""
COPYING = "copy.events"
"""Where the events of the stream go to its copy."""
CONSUMERS = 100
"""Consumers that all readers together may have."""
ACK_PENDING = 1_000
"""Unacknowledged events per consumer of a reader."""
IDLE_S = 7 * 24 * 3600
"""A reader's consumer that nobody has asked for so long is removed, durable ones too."""
MAPPINGS = {f"$JS.API.CONSUMER.CREATE.{STREAM}": f"$JS.API.CONSUMER.CREATE.{STREAM}.{{{{random(2147483647)}}}}"}
"""The server's `mappings` block, applied before permissions are looked at.

The old subject for temporary consumers (nats-py's `js.subscribe` uses it) takes the consumer's name from the body, where no permission
looks: with `"name": "compressor"` it rewrites that durable's filter or lets it expire (seen with nats-server 2.15.1). Mapped to the newer
subject, the name is a random number that the server itself puts in and that wins over the body.
"""


def permissions(user: str) -> dict[str, object]:
    """The `permissions` block of one user's NATS configuration. Pure. Raises KeyError for an unknown user."""
    if user in {PROVISION, PROVISION_READERS}:
        return {"publish": {"allow": [">"]}, "subscribe": {"allow": [">"]}}
    if user == SUBSCRIBER:
        return _subscriber()
    if user in SERVICES:
        return _service(user)
    raise KeyError(user)


def accounts(passwords: Mapping[str, str], copy_bytes: int) -> dict[str, object]:
    """The `accounts` block: the services with the stream, the readers with a copy of it. Pure.

    passwords: of each of USERS. copy_bytes: how large the copy may become on disk.
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
    """What to give `nats.connect(inbox_prefix=...)`. Pure."""
    return f"_INBOX_{user}"


def _service(user: str) -> dict[str, object]:
    # `job.>` for every service is the price of the embedded relay: any of them may be elected to publish the outbox.
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
    """Reads the copy in the readers' account: consumers of every kind, live lines, nothing of the services."""
    # Plain `_INBOX.>` serves clients that know no prefix; no user of ours uses it.
    subscribe = ["job.>", "live.progress.>", "live.log.>", "live.config", f"{inbox_prefix(SUBSCRIBER)}.>", "_INBOX.>"]
    publish = [f"$JS.API.STREAM.INFO.{STREAM}", f"{READING}.{LOOKUP}", "$JS.API.INFO", *_reading()]
    return {"publish": {"allow": publish, "deny": _protected()}, "subscribe": {"allow": subscribe}}


def _reading() -> list[str]:
    """What a reader of history needs: temporary consumers of any name, made by any client library."""
    return [
        f"$JS.API.CONSUMER.CREATE.{STREAM}.>",  # not without the name: a server that lacks MAPPINGS has to refuse that
        f"$JS.API.CONSUMER.INFO.{STREAM}.*",
        f"$JS.API.CONSUMER.DELETE.{STREAM}.*",
        f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.*",
        f"$JS.ACK.{STREAM}.>",
        f"$JS.FC.{STREAM}.>",
    ]


def _protected() -> list[str]:
    """What no reader may do to the services' durables; a denial wins over what is allowed."""
    denied = []
    for durable in DURABLES:
        denied += [f"$JS.API.CONSUMER.{what}.{STREAM}.{durable}" for what in ("CREATE", "DELETE", "MSG.NEXT")]
        denied += [f"$JS.API.CONSUMER.CREATE.{STREAM}.{durable}.>", f"$JS.ACK.{STREAM}.{durable}.>"]
    return denied
