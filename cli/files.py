"""The commands `files` and `pack`: files of the user's workspace, and folders packed into one archive to download."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from posixpath import basename, normpath
from typing import Any
from urllib.parse import quote

import msgspec

from cli import render, sentences
from cli.actions import Actions, _interval_s
from cli.client import Client, Doc
from cli.exits import Exit, Failure
from cli.sentences import Column
from cli.watch import watch
from shared import units
from shared.files.paths import name_with

FILE_ACTIONS = ("ls", "get", "put", "mkdir", "mv", "rm", "auto")
MEANT = {"--query": {"ls"}, "--nas": {"ls"}, "--recursive": {"ls", "mkdir", "rm"}, "--overwrite": {"get", "put", "mv"}}
"""The actions that accept each option. Elsewhere the option is refused, not ignored."""
CONTENT = "/api/files/content"
AUTO = "/api/files/auto-archive"
_PART = 16 << 20
_TRIES = 5


def below_root(path: str) -> str:
    """Convert a path as users write it into one for the server: `./a/`, `a//b` and `/a` are accepted, `.` is the top. Pure."""
    plain = normpath(path).strip("/")
    return "" if plain == "." else plain


class FileEntry(msgspec.Struct, kw_only=True):
    name: str
    path: str
    is_dir: bool
    type: str
    size: int | None = None
    modified_at: datetime | None = None


class UploadState(msgspec.Struct, kw_only=True):
    received_bytes: int
    total_bytes: int
    entry: FileEntry | None = None


class AutoArchive(msgspec.Struct, kw_only=True):
    everything: bool
    folders: list[str]
    waiting_files: int = 0
    problem: str | None = None


class Pack(msgspec.Struct, kw_only=True):
    """A pack as the gateway describes it."""

    id: str
    folder_path: str
    folder_size: int
    status: str
    progress: int
    reserved_space: int = 0
    output_path: str | None = None
    output_size: int | None = None
    error_message: str | None = None
    created_at: datetime | None = None
    keep_source: bool = False


class Files(Actions):
    """The commands, run against one server."""

    def files(
        self, action: str, paths: list[str], query: str | None, *, nas: bool, recursive: bool, overwrite: bool, as_json: bool
    ) -> None:
        """Run one of FILE_ACTIONS."""
        least, most = {"ls": (0, 1), "get": (1, 2), "put": (1, 2), "mkdir": (1, 1), "mv": (2, 2), "rm": (1, 1), "auto": (0, 2)}.get(
            action, (-1, -1)
        )
        if least < 0:
            raise Failure(Exit.USAGE, f"files knows {', '.join(FILE_ACTIONS)}.")
        if not least <= len(paths) <= most:
            raise Failure(Exit.USAGE, f"files {action} takes {least if least == most else f'{least} or {most}'} paths.")
        given = {"--query": query is not None, "--nas": nas, "--recursive": recursive, "--overwrite": overwrite}
        if wrong := [option for option, is_given in given.items() if is_given and action not in MEANT[option]]:
            raise Failure(Exit.USAGE, f"files {action} does not know {', '.join(wrong)}.")
        with self._client() as client:
            match action:
                case "ls":
                    _list(client, below_root(paths[0]) if paths else "", query, nas=nas, recursive=recursive, as_json=as_json)
                case "get":
                    remote = below_root(paths[0])
                    to = Path(paths[1]) if len(paths) > 1 else Path()
                    _get(client, f"{CONTENT}?path={quote(remote, safe='')}", remote, to, overwrite=overwrite, as_json=as_json)
                case "put":
                    _put(client, Path(paths[0]), paths[1] if len(paths) > 1 else "", overwrite=overwrite, as_json=as_json)
                case "mkdir":
                    _changed(
                        client.write("POST", "/api/files/folders", {"path": below_root(paths[0]), "parents": recursive}),
                        "Made",
                        as_json,
                    )
                case "mv":
                    target = _target(client, paths[1], basename(below_root(paths[0])))
                    body = {"source": below_root(paths[0]), "target": target, "overwrite": overwrite}
                    _changed(client.write("POST", "/api/files/move", body), "Moved to", as_json)
                case "auto":
                    _auto(client, paths[0] if paths else None, paths[1] if len(paths) > 1 else None, as_json=as_json)
                case _:
                    client.write(
                        "DELETE", "/api/files", params={"path": below_root(paths[0]), "recursive": "true" if recursive else None}
                    )
                    render.talk(f"Deleted: {sentences.clean(paths[0])}.")

    def pack(
        self,
        path: str | None,
        *,
        nas: bool,
        keep_source: bool,
        wait: bool,
        output: str | None,
        download: str | None,
        cancel: str | None,
        as_json: bool,
    ) -> None:
        """Pack a folder, or list, fetch or cancel packs."""
        if sum(given is not None for given in (path, download, cancel)) > 1:
            raise Failure(Exit.USAGE, "Give a folder, --download or --cancel: one of them.")
        if output is not None and path is None and download is None:
            raise Failure(Exit.USAGE, "--output needs a folder to pack, or --download ID.")
        if output is not None and not Path(output).is_dir():
            _refuse_taken(Path(output), None)
        with self._client() as client:
            if cancel is not None:
                _cancel(client, _resolve(client, cancel))
            elif download is not None:
                _fetch(client, _resolve(client, download), output, as_json=as_json)
            elif path is None:
                _list_packs(client, as_json=as_json)
            else:
                body = {"folder_path": below_root(path), "keep_source": keep_source, "root": "nas" if nas else "workspace"}
                self._make(client, body, output, wait=wait or output is not None, as_json=as_json)

    def _make(self, client: Client, body: dict[str, Any], output: str | None, *, wait: bool, as_json: bool) -> None:
        raw = client.write("POST", "/api/files/pack", body)
        pack = msgspec.convert(raw, Pack)
        kept = "stays" if pack.keep_source else "is DELETED after the archive was tested"
        render.talk(f"Packing {sentences.clean(pack.folder_path)} ({sentences.size(pack.folder_size)}); the folder {kept}.")
        if not wait:
            render.emit_json(raw) if as_json else render.emit(pack.id + "\n")
            return
        try:
            with render.progress() as view:
                watch(client, pack.id, view, interval_s=_interval_s())
        except KeyboardInterrupt:
            raise Failure(Exit.INTERRUPTED, f"It goes on; stop it with `cs-archiver pack --cancel {pack.id[:8]}`.") from None
        doc = client.read(f"/api/files/pack/{pack.id}", Pack)
        if doc.value.status != "done":
            raise Failure(
                Exit.JOB, f"The pack {doc.value.status}: {sentences.clean(doc.value.error_message or 'nothing was made')}"
            )
        render.talk(f"Packed: {sentences.clean(doc.value.output_path or '')} ({sentences.size(doc.value.output_size)}).")
        if output is not None:
            _fetch(client, pack.id, output, as_json=False)
        render.emit_json(doc.raw) if as_json else render.emit(pack.id + "\n")


def _list(client: Client, path: str, query: str | None, *, nas: bool, recursive: bool, as_json: bool) -> None:
    params = {"path": path, "root": "nas" if nas else "workspace", "q": query, "recursive": "true" if recursive else None}
    doc = client.all("/api/files", params, FileEntry)
    if as_json:
        render.emit_json(doc.raw)
        return
    columns = (
        Column("NAME"),
        Column("SIZE", right=True, fixed=True),
        Column("MODIFIED", 60, fixed=True),
        Column("TYPE", 80, fixed=True),
    )
    rows = [
        (entry.path if recursive else entry.name, sentences.size(entry.size), sentences.when(entry.modified_at), entry.type)
        for entry in doc.value
    ]
    render.table(columns, rows, "Nothing is here.")


def _list_packs(client: Client, *, as_json: bool) -> None:
    doc = client.all("/api/files/pack", {}, Pack)
    if as_json:
        render.emit_json(doc.raw)
        return
    columns = (
        Column("PACK", fixed=True), Column("FOLDER"), Column("STATUS", fixed=True), Column("%", 60, right=True, fixed=True),
        Column("SIZE", 60, right=True, fixed=True), Column("OUTPUT", 80), Column("CREATED", 100, fixed=True),
    )  # fmt: skip
    rows = [
        (
            pack.id,
            pack.folder_path,
            pack.status,
            str(pack.progress),
            sentences.size(pack.output_size if pack.output_size is not None else pack.folder_size),
            pack.output_path or pack.error_message or "",
            sentences.when(pack.created_at),
        )
        for pack in doc.value
    ]
    render.table(columns, rows, "No packs.")


def _resolve(client: Client, given: str) -> str:
    """Return a pack's id, given the id or its beginning."""
    found = [pack.id for pack in client.all("/api/files/pack", {}, Pack).value if pack.id.startswith(given.lower())]
    if len(given) < 6 or len(found) != 1:
        raise Failure(Exit.NOT_FOUND, f"No pack, or more than one, begins with {sentences.clean(given)}: see `cs-archiver pack`.")
    return found[0]


def _fetch(client: Client, pack: str, output: str | None, *, as_json: bool) -> None:
    doc = client.read(f"/api/files/pack/{pack}", Pack)
    name = doc.value.output_path or "pack"
    _get(client, f"/api/files/pack/{pack}/download", name, Path(output) if output else Path(), overwrite=None, as_json=as_json)


def _cancel(client: Client, pack: str) -> None:
    try:
        client.write("DELETE", f"/api/files/pack/{pack}")
    except Failure as exc:
        if exc.exit_code is Exit.USAGE:  # the gateway answers 400 for a pack that has ended
            raise Failure(Exit.CONFLICT, str(exc)) from exc
        raise
    render.talk("Cancelled; the folder is not touched.")


# Transfers ---------------------------------------------------------------------------------------------------------------------


def _get(client: Client, address: str, name: str, target: Path, *, overwrite: bool | None, as_json: bool) -> None:
    """Download to a file beside the target, and rename it when it is complete. A second run resumes an interrupted download.

    overwrite: None where the command has no such option.
    """
    if target.is_dir():
        target /= os.path.basename(name.rstrip("/"))  # noqa: PTH119 - the path is the server's, not local
    _refuse_taken(target, overwrite)
    etag, total = client.look(address)
    version = sha256(etag.encode()).hexdigest()[:12]
    partial = target.with_name(name_with(f".{target.name}", f".{version}.part"))
    try:
        with partial.open("ab") as file, render.bytes_moving(sentences.clean(target.name), total) as show:
            _patiently(lambda: client.append(address, etag, file, show))
            if file.tell() != total:
                raise Failure(Exit.UNAVAILABLE, f"{sentences.clean(name)} did not arrive whole: run the command again.")
        partial.replace(target)
    except OSError as exc:
        raise Failure(Exit.CONFIGURATION, f"Cannot write {target}: {exc.strerror}.") from exc
    if as_json:
        render.emit_json({"path": str(target), "size": total})
    else:
        render.talk(f"Saved: {target} ({sentences.size(total)}).")


def _refuse_taken(target: Path, overwrite: bool | None) -> None:
    """Refuse an existing target. overwrite: as in `_get`."""
    if os.path.lexists(target) and not overwrite:
        advice = "name another file with --output" if overwrite is None else "say --overwrite to replace it"
        raise Failure(Exit.CONFLICT, f"{sentences.clean(str(target))} is there already: {advice}.")


def _put(client: Client, source: Path, path: str, *, overwrite: bool, as_json: bool) -> None:
    """Upload in parts. A second run resumes an interrupted upload, unless the file has changed."""
    remote = _target(client, path, source.name)
    try:
        with source.open("rb") as file:
            found = os.fstat(file.fileno())
            tag = f"{found.st_size}-{found.st_mtime_ns}"
            params = {"path": remote, "tag": tag, "overwrite": "true" if overwrite else None}
            with render.bytes_moving(sentences.clean(source.name), found.st_size) as show:
                done: list[Doc[UploadState]] = []

                def send() -> None:
                    state = client.upload_state(CONTENT, params, found.st_size, UploadState)
                    while state.value.entry is None:
                        at = state.value.received_bytes
                        show(at)
                        file.seek(at)
                        piece = file.read(_PART)
                        if not piece:
                            raise Failure(Exit.CONFLICT, f"{source} became shorter while it was sent.")
                        state = client.send_part(CONTENT, params, piece, at, found.st_size, UploadState)
                    show(found.st_size)
                    done.append(state)

                _patiently(send)
    except OSError as exc:
        raise Failure(Exit.USAGE, f"Cannot read {source}: {exc.strerror}.") from exc
    if as_json:
        render.emit_json(done[-1].raw)
    else:
        render.talk(f"Uploaded: {sentences.clean(remote)} ({sentences.size(found.st_size)}).")


def _target(client: Client, given: str, name: str) -> str:
    """Return the target for `name`: inside `given` if that is a folder, else `given` itself. As for `mv`, `dir/` is a folder."""
    path = below_root(given)
    return f"{path}/{name}".lstrip("/") if not path or given.endswith("/") or _is_folder(client, path) else path


def _is_folder(client: Client, path: str) -> bool:
    try:
        client.read("/api/files", list[FileEntry], {"path": path, "root": "workspace", "limit": 1})
    except Failure as exc:
        if exc.exit_code in {Exit.NOT_FOUND, Exit.USAGE, Exit.CONFLICT}:
            return False
        raise
    return True


def _auto(client: Client, switch: str | None, folder: str | None, *, as_json: bool) -> None:
    """Show where auto-archive is on, or switch it on or off, for a folder or for the whole workspace."""
    if switch not in {None, "on", "off"}:
        raise Failure(Exit.USAGE, f"files auto takes on or off, not {sentences.clean(switch or '')}.")
    doc = client.read(AUTO, AutoArchive)
    if switch is not None:
        if folder is None:
            change: dict[str, Any] = {"everything": True} if switch == "on" else {"everything": False, "folders": []}
        else:
            others = [path for path in doc.value.folders if path != folder.strip("/")]
            change = {"folders": [*others, folder] if switch == "on" else others}
        client.write("PUT", AUTO, change)
        doc = client.read(AUTO, AutoArchive)
    if as_json:
        render.emit_json(doc.raw)
        return
    wanted = doc.value
    where = "the whole workspace" if wanted.everything else ", ".join(map(sentences.clean, wanted.folders))
    render.emit(f"A zip is made of what arrives in {where}.\n" if where else "No zip is made of what arrives.\n")
    if wanted.waiting_files:
        files = units.counted(wanted.waiting_files, "file")
        render.talk(f"{files} {units.plural(wanted.waiting_files, 'waits', 'wait')} for the rest of an upload.")
    if wanted.problem is not None:
        render.talk(sentences.clean(wanted.problem))


def _patiently(move: Callable[[], None]) -> None:
    """Resume after a broken connection; transferred bytes are kept."""
    for _ in range(_TRIES - 1):
        with suppress(ConnectionError):
            move()
            return
    try:
        move()
    except ConnectionError as exc:
        raise Failure(
            Exit.UNAVAILABLE, f"The connection broke {units.counted(_TRIES, 'time')} ({exc}): run the command again to go on."
        ) from exc


def _changed(document: Any, word: str, as_json: bool) -> None:
    if as_json:
        render.emit_json(document)
    else:
        render.talk(f"{word}: {sentences.clean(document['path'])}.")
