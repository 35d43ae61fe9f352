"""The NATS server's configuration, the same for both editions: limits, JetStream, two accounts, and one user per service.

`python -m shared.infra.nats_config > deploy/nats.conf` writes the configuration for containers. It contains no password: the
server reads each one from its environment (`NATS_PASSWORD_<USER>`, in double quotes, because it would read `1e5` as a number). A
test compares the file with the command's output.
"""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from shared.infra.nats_permissions import USERS, accounts

_MIB = 2**20
_COPY_BYTES = 320 * _MIB  # the stream's own limit, and the overhead of a file store
_REFERENCE = re.compile(r'"(\$NATS_PASSWORD_[A-Z]+)"')
_HEAD = "# Made by `python -m shared.infra.nats_config`; edit shared/infra/nats_permissions.py instead.\n"


def document(listen: str, monitoring: str, store: str, passwords: Mapping[str, str], *, durable: bool = True) -> dict[str, Any]:
    """Return the configuration as a JSON document, which the server's own format includes. Pure.

    listen, monitoring: `host:port`. passwords: per user a bcrypt hash or a `$VARIABLE`. durable: False is for tests only.
    """
    return {
        "listen": listen,
        "http": monitoring,
        "max_payload": 4 * _MIB,
        "jetstream": {
            "store_dir": store,
            # The default syncs every two minutes: a power failure would lose up to two minutes of acknowledged events.
            "sync_interval": "always" if durable else "2m",
            "max_file_store": 1024 * _MIB,
            "max_memory_store": 32 * _MIB,
            "strict": True,
        },
        "authorization": {"timeout": 5},
        "accounts": accounts(passwords, _COPY_BYTES),
    }


def variable(user: str) -> str:
    """Return the environment variable with a user's password in containers."""
    return f"NATS_PASSWORD_{user.upper()}"


def for_containers() -> str:
    """Return the text of deploy/nats.conf. Pure."""
    passwords = {user: f"${variable(user)}" for user in USERS}
    text = json.dumps(document("0.0.0.0:4222", "127.0.0.1:8222", "/data", passwords), indent=1)
    return _HEAD + _REFERENCE.sub(r"\1", text) + "\n"


if __name__ == "__main__":
    sys.stdout.write(for_containers())
