"""Who may say and hear what on NATS: one table, from which the embedded server's and compose's configuration are made.

Every user of ours connects with `inbox_prefix="_INBOX_<user>"`, so that nobody hears another's replies.
"""

STREAM = "JOBS"
SUBJECTS = "job.>"
SERVICES = ("scanner", "compressor", "uploader", "gateway")
DURABLES = {"compressor": "job.queued", "uploader": "job.compressed", "scanner": "job.verified"}
"""Durable consumer (named like its service) -> the one subject that wakes it."""
PROVISION = "provision"
SUBSCRIBER = "subscriber"
USERS = (PROVISION, *SERVICES, SUBSCRIBER)
MAPPINGS = {f"$JS.API.CONSUMER.CREATE.{STREAM}": f"$JS.API.CONSUMER.CREATE.{STREAM}.{{{{random(2147483647)}}}}"}
"""The server's `mappings` block, applied before permissions are looked at.

The old subject for temporary consumers (nats-py's `js.subscribe` uses it) takes the consumer's name from the body, where no permission
looks: with `"name": "compressor"` it rewrites that durable's filter or lets it expire (seen with nats-server 2.15.1). Mapped to the newer
subject, the name is a random number that the server itself puts in and that wins over the body.
"""


def permissions(user: str) -> dict[str, object]:
    """The `permissions` block of one user's NATS configuration. Pure. Raises KeyError for an unknown user."""
    if user == PROVISION:
        return {"publish": {"allow": [">"]}, "subscribe": {"allow": [">"]}}
    if user == SUBSCRIBER:
        return _subscriber()
    if user in SERVICES:
        return _service(user)
    raise KeyError(user)


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
    """A reader can make a consumer deliver to any subject that somebody listens on: permissions do not see a request's body.

    What arrives there is a real event under its own subject (`job.queued`). A nudge only wakes a service, which finds no work; whoever
    answers questions or shows live lines has to look at `message.subject` first, and drop what is not its own.
    """
    # Plain `_INBOX.>` serves clients that know no prefix; no user of ours uses it.
    subscribe = ["job.>", "live.progress.>", "live.log.>", "live.config", f"{inbox_prefix(SUBSCRIBER)}.>", "_INBOX.>"]
    publish = [f"$JS.API.STREAM.INFO.{STREAM}", "$JS.API.STREAM.NAMES", "$JS.API.INFO", *_reading()]
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
