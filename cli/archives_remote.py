"""`zip`, `unzip` and `zipinfo` for paths in your workspace, or with the prefix `nas:` on the NAS, as jobs of the server.

The server does and verifies the work. This module follows the job and prints its result in the same form as for local files.
Ctrl-C leaves the job running.
"""

import base64
import os
from typing import Any

import msgspec

from cli import render, sentences
from cli.actions import Actions
from cli.archives import CODES, bytes_of, read_password, show_entries, show_made, show_stats, show_unpacked
from cli.client import Client
from cli.exits import Exit, Failure
from cli.files import FileEntry, below_root
from shared.archiving.engine import Stats
from shared.archiving.protocol import Member
from shared.domain.requests import ArchiveResult, ExtractResult
from shared.files.manifest import unsaid

_NAS = "nas:"
_PASSWORD_HEADER = b"X-Archive-Password"
_PAGE = 1000


class _Figures(msgspec.Struct):
    """What the server reports about an archive."""

    format: str
    files: int
    directories: int
    original_size: int
    compressed_size: int
    compression_ratio: float
    encrypted: bool
    problems: list[str]


class _Entry(msgspec.Struct):
    path: str
    type: str
    size: int
    path_base64: str | None = None
    crc32: str | None = None
    encrypted: bool = False


class Remote(Actions):
    """The commands, run on one server. `wait`: follow jobs to their end."""

    def __init__(self, server: str | None, *, wait: bool = True) -> None:
        super().__init__(server)
        self._wait = wait

    def zip(
        self,
        paths: list[str],
        output: str | None,
        form: str | None,
        level: int | None,
        password: bool,
        password_file: str | None,
        volume: str | None,
        as_json: bool,
    ) -> None:
        """Make an archive in the workspace."""
        root, plain = _rooted(paths)
        target = None if output is None else below_root(output)
        body: dict[str, Any] = {"root": root, "output": target, "format": form, "level": level}
        body |= {"password": read_password(password, password_file), "volume_bytes": bytes_of(volume)}
        with self._client() as client:
            body["paths"] = [name for path in plain for name in ([path] if path else _top(client, root))]
            result = self._done(client, "/api/archives", body, as_json)
        if result is not None and not as_json:
            show_made(msgspec.convert(result, ArchiveResult))

    def unzip(
        self,
        path: str,
        destination: str | None,
        entries: list[str],
        password: bool,
        password_file: str | None,
        as_json: bool,
    ) -> None:
        """Unpack an archive into the workspace."""
        root, (plain,) = _rooted([path])
        body: dict[str, Any] = {
            "path": plain,
            "root": root,
            "destination": None if destination is None else below_root(destination),
            "entries": [],
            "entries_base64": [],
        }
        for entry in entries:
            raw = unsaid(os.fsencode(entry))
            body["entries" if raw is None else "entries_base64"].append(raw or entry)
        body |= {"password": read_password(password, password_file)}
        with self._client() as client:
            result = self._done(client, "/api/archives/extract", body, as_json)
        if result is not None and not as_json:
            show_unpacked(plain.rpartition("/")[2], msgspec.convert(result, ExtractResult))

    def zipinfo(self, path: str, entries: bool, password: bool, password_file: str | None, as_json: bool) -> None:
        """Print the archive's facts and, with `entries`, every entry."""
        root, (plain,) = _rooted([path])
        secret = read_password(password, password_file)
        headers = {} if secret is None else {_PASSWORD_HEADER: secret.encode()}
        place = {"root": root, "path": plain}
        with self._client() as client:
            figures = client.read("/api/archives/stats", _Figures, place, headers=headers)
            listed = _entries(client, place, headers) if entries else []
        if as_json:
            render.emit_json({**figures.raw, "entries": listed} if entries else figures.raw)
            return
        show_stats(path, _stats(figures.value))
        if entries:
            show_entries([_member(msgspec.convert(entry, _Entry)) for entry in listed])

    def _done(self, client: Client, address: str, body: dict[str, Any], as_json: bool) -> Any:
        """Create a job, follow it to its end and return its result, or None without waiting. Raises Failure unless it completes."""
        made = client.write("POST", address, {name: value for name, value in body.items() if value is not None})
        job_id = str(made["job_id"])
        render.talk(f"Queued: {sentences.clean(made['name'])}. See it with `cs-archiver job {job_id[:8]}`.")
        if not self._wait:
            render.emit_json(made) if as_json else render.emit(job_id + "\n")
            return None
        self._follow(client, job_id, as_json, CODES)
        return client.job(job_id).raw["result"]


def _rooted(paths: list[str]) -> tuple[str, list[str]]:
    """Return the root that all paths share, and the paths without its prefix. Pure."""
    on_nas = {path.startswith(_NAS) for path in paths}
    if len(on_nas) > 1:
        raise Failure(Exit.USAGE, "All of the paths are in your workspace, or all of them on the NAS (nas:...).")
    return ("nas" if True in on_nas else "workspace"), [below_root(path.removeprefix(_NAS)) for path in paths]


def _top(client: Client, root: str) -> list[str]:
    """Return the entries at the top of a root: the meaning of `.`."""
    return [entry.path for entry in client.all("/api/files", {"path": "", "root": root}, FileEntry).value]


def _entries(client: Client, place: dict[str, str], headers: dict[bytes, bytes]) -> list[Any]:
    found: list[Any] = []
    while True:
        page = client.read("/api/archives/entries", list[Any], {**place, "limit": _PAGE, "offset": len(found)}, headers=headers)
        if not page.value:
            return found
        found += page.value


def _stats(figures: _Figures) -> Stats:
    return Stats(
        format=figures.format,
        entries=figures.files + figures.directories,
        files=figures.files,
        original_size=figures.original_size,
        compressed_size=figures.compressed_size,
        ratio=figures.compression_ratio,
        encrypted=figures.encrypted,
        volumes=1,
        problems=figures.problems,
    )


def _member(entry: _Entry) -> Member:
    kind: Any = entry.type if entry.type in {"file", "directory", "link"} else "special"
    crc = None if entry.crc32 is None else int(entry.crc32, 16)
    path = entry.path.encode() if entry.path_base64 is None else base64.b64decode(entry.path_base64)
    return Member(path=path, kind=kind, size=entry.size, crc32=crc, encrypted=entry.encrypted)
