"""The embedded edition's own secrets: one file each, readable by its owner only, created once and kept permanently."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from shared.errors import ConfigurationError
from shared.files.handles import root, sync_directory

_BYTES = 32


def private_directory(path: Path) -> Path:
    """Create `path` (mode 0700) if it is missing. An existing directory keeps its mode."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 atomically: readers see the old or the new text, never a part of it, never a wider mode."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _write_new(new, text)
    new.replace(path)
    _sync(path.parent)


def load_or_create(directory: Path, name: str) -> str:
    """Return the secret of that name in DATA_DIR/secrets, created at first use. Two processes that ask at once get the same one.

    Raises ConfigurationError when other users could have read it, or when it is empty.
    """
    path = directory / name
    if not path.exists():
        private_directory(directory)
        new = directory / f".{name}.{secrets.token_hex(4)}"
        _write_new(new, secrets.token_urlsafe(_BYTES))
        try:
            with suppress(FileExistsError):
                os.link(new, path)
        finally:
            new.unlink()
        _sync(directory)
    return _read(path)


def _read(path: Path) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle) as file:
        if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
            raise ConfigurationError(f"{path} can be read by others. Delete it (a new one is made) or run: chmod 600 {path}")
        text = file.read().strip()
    if not text:
        raise ConfigurationError(f"{path} is empty. Delete it; a new one is made at the next start.")
    return text


def _write_new(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)


def _sync(directory: Path) -> None:
    with root(directory) as handle:
        sync_directory(handle)
