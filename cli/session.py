"""Who is logged in where: one small file of the user's own, and where a password may come from.

The file is `$XDG_CONFIG_HOME/cs-archiver/session.json` (else `~/.config/...`), mode 0600, replaced whole. It holds a token, never
a password. A token is only ever sent to the server that issued it.
"""

import getpass
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cli.exits import Exit, Failure

DEFAULT_SERVER = "http://127.0.0.1:8000"


class Session(msgspec.Struct, frozen=True):
    server: str
    username: str
    token: str


def file() -> Path:
    """Where the session is kept. A relative XDG_CONFIG_HOME is ignored, as its specification asks."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(base) if base.startswith("/") else Path.home() / ".config"
    return home / "cs-archiver" / "session.json"


def load() -> Session | None:
    """The stored session, None if there is none; a file that cannot be used is a configuration error."""
    try:
        return msgspec.json.decode(file().read_bytes(), type=Session)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise Failure(Exit.CONFIGURATION, f"Cannot read the stored login: {exc}.") from exc
    except msgspec.MsgspecError as exc:
        sentence = f"The stored login in {file()} is damaged: run `cs-archiver login` again."
        raise Failure(Exit.CONFIGURATION, sentence) from exc


def save(session: Session) -> None:
    """Keep the session: readable by this user alone, the old one or the new one whatever happens."""
    target = file()
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".session-")  # created 0600
        try:
            with os.fdopen(handle, "wb") as new:
                new.write(msgspec.json.encode(session))
                new.flush()
                os.fsync(new.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise Failure(Exit.CONFIGURATION, f"Cannot store the login: {exc}.") from exc


def clear() -> None:
    """Forget the session; nothing happens if there is none."""
    try:
        file().unlink(missing_ok=True)
    except OSError as exc:
        raise Failure(Exit.CONFIGURATION, f"Cannot remove the stored login: {exc}.") from exc


def server_address(given: str | None, stored: Session | None) -> str:
    """The server's base URL: `--server` or CS_ARCHIVER_URL, else that of the login, else this machine's own."""
    url = (given or (stored.server if stored else DEFAULT_SERVER)).rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise Failure(Exit.CONFIGURATION, "The server's address must look like http://host:8000 or https://host.")
    if parts.username is not None or parts.password is not None:
        # Command lines and environments are shown to others; it is not repeated here either.
        raise Failure(
            Exit.CONFIGURATION, "Leave user name and password out of the server's address; `cs-archiver login` asks for them."
        )
    return url


def read_username(given: str | None) -> str:
    """The user name given, else asked for."""
    if given:
        return given
    if not sys.stdin.isatty():
        raise Failure(Exit.USAGE, "Say who logs in: --user NAME.")
    print("User name: ", end="", file=sys.stderr, flush=True)
    if not (name := sys.stdin.readline().strip()):
        raise Failure(Exit.USAGE, "No user name was given.")
    return name


def read_password(prompt: str, variable: str) -> str:
    """From the environment variable, else asked for without echo, else one line of stdin; never from the command line."""
    password = os.environ.get(variable)
    try:
        if password is None:
            password = getpass.getpass(prompt + ": ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
        password.encode()
    except UnicodeError as exc:
        raise Failure(Exit.USAGE, "The password is no UTF-8 text.") from exc
    if not password:
        raise Failure(Exit.USAGE, f"No password was given: type it, pipe it in, or set {variable}.")
    return password
