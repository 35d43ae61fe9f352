"""The stored login, and where passwords may come from.

The login is one file of the user, `$XDG_CONFIG_HOME/cs-archiver/session.json` (else `~/.config/...`), mode 0600, replaced whole. It
holds a token, never a password. A token is only ever sent to the server that issued it.
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
    """Return the path of the session file. A relative XDG_CONFIG_HOME is ignored, as its specification demands."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(base) if base.startswith("/") else Path.home() / ".config"
    return home / "cs-archiver" / "session.json"


def load() -> Session | None:
    """Return the stored session, or None if there is none. An unusable file is a configuration error."""
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
    """Store the session, readable by this user only. After a crash the file has either the old or the new content."""
    target = file()
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".session-")  # created with mode 0600
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
    """Delete the stored session, if there is one."""
    try:
        file().unlink(missing_ok=True)
    except OSError as exc:
        raise Failure(Exit.CONFIGURATION, f"Cannot remove the stored login: {exc}.") from exc


def server_address(given: str | None, stored: Session | None) -> str:
    """Return the server's base URL: `--server` or CS_ARCHIVER_URL, else that of the login, else this machine's own."""
    url = (given or (stored.server if stored else DEFAULT_SERVER)).rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise Failure(Exit.CONFIGURATION, "The server's address must look like http://host:8000 or https://host.")
    if parts.username is not None or parts.password is not None:
        # Others can read command lines and environments, so do not repeat it here either.
        raise Failure(
            Exit.CONFIGURATION, "Leave user name and password out of the server's address; `cs-archiver login` asks for them."
        )
    return url


def read_username(given: str | None) -> str:
    """Return the given user name, or ask for one."""
    if given:
        return given
    if not sys.stdin.isatty():
        raise Failure(Exit.USAGE, "Say who logs in: --user NAME.")
    print("User name: ", end="", file=sys.stderr, flush=True)
    if not (name := sys.stdin.readline().strip()):
        raise Failure(Exit.USAGE, "No user name was given.")
    return name


def read_password(prompt: str, variable: str) -> str:
    """Read a password: from the environment variable, else typed without echo, else one line of stdin; never from an argument."""
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
