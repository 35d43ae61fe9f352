"""The command line: names, options, help. Each command parses and calls one method of `cli.actions.Actions`."""

import importlib
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.exits import LOCAL, SERVER, Exit, Failure, status_help
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from cli.actions import Actions
    from cli.admin import Admin
    from cli.archives import Archives
    from cli.files import Files
    from cli.media import Media

PROGRAM = "cs-archiver"
COMPLETE_VARIABLE = "_CS_ARCHIVER_COMPLETE"

app = typer.Typer(
    name=PROGRAM,
    help="Archive NAS folders to Globus; no byte of a source is deleted unless it is proven to be at the destination.",
    epilog=status_help(tuple(Exit)),
    no_args_is_help=True,
    add_completion=False,  # `completion` prints it; nothing writes to people's start-up files
    rich_markup_mode=None,  # plain help: rich would cost 0.1 s before the first character
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", envvar="CS_ARCHIVER_URL", help="The gateway's address; by default that of the login."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout (streams: one per line).")]
JobId = Annotated[str, typer.Argument(metavar="ID", show_default=False, help="Job id, or its first six characters or more.")]
Follow = Annotated[bool, typer.Option("--wait/--no-wait", help="Show the progress until it has ended; else print the job's id.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show the progress until the job has ended; Ctrl-C leaves it running.")]

Local = Annotated[bool, typer.Option("--local", help="Files of this machine, without any server.")]
Password = Annotated[
    bool,
    typer.Option("--password", "-p", help="With a password: asked for, from CS_ARCHIVER_ARCHIVE_PASSWORD, or one line of stdin."),
]
PasswordFile = Annotated[
    str | None, typer.Option("--password-file", metavar="FILE", help="With a password: the first line of this file.")
]

_MORE = {"allow_extra_args": True}
"""For commands behind whose last argument somebody may write a password: it must not be repeated."""

_ARCHIVE = status_help((*SERVER, Exit.JOB, Exit.NOT_FOUND, Exit.CONFLICT))
_READ = status_help(SERVER)
_JOB = status_help((*SERVER, Exit.NOT_FOUND))
_WAIT = status_help((*SERVER, Exit.JOB, Exit.NOT_FOUND, Exit.CONFLICT))
_CHANGE = status_help((*SERVER, Exit.NOT_FOUND, Exit.CONFLICT))


def _no_password(extra: list[str], instead: str) -> None:
    """Refuse a password on the command line, where others can read it, without repeating it."""
    if extra:
        raise Failure(
            Exit.USAGE,
            f"There are too many arguments. A password is never taken from the command line, where others can read it: {instead}.",
        )


_HOW = (
    "leave it out and say --password (it is asked for, or taken from CS_ARCHIVER_ARCHIVE_PASSWORD or one line of stdin), "
    "or --password-file FILE"
)


class Sort(StrEnum):
    """`cli.actions.FOLDER_ORDER` says how; a test compares the two."""

    PATH = "path"
    NAME = "name"
    SIZE = "size"
    FILES = "files"
    MODIFIED = "modified"


class HistorySort(StrEnum):
    """Orders of the history that the gateway knows; a test compares the two."""

    ENDED = "ended"
    NAME = "name"
    SIZE = "size"
    DURATION = "duration"


class Ended(StrEnum):
    """How a job can have ended; a test compares it with the state machine."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ArchiveFormat(StrEnum):
    """What archives can be made as; a test compares it with `shared.domain.requests.FORMATS`."""

    ZIP = "zip"
    SEVENZIP = "7z"
    TAR = "tar"
    TAR_GZ = "tar.gz"
    TAR_BZ2 = "tar.bz2"
    TAR_XZ = "tar.xz"
    TAR_ZST = "tar.zst"


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


class Level(StrEnum):
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Scope(StrEnum):
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


def _admin(server: str | None) -> "Admin":
    from cli.admin import Admin  # noqa: PLC0415 - as below

    return Admin(server)


def _files(server: str | None) -> "Files":
    from cli.files import Files  # noqa: PLC0415 - as below

    return Files(server)


def _actions(server: str | None) -> "Actions":
    from cli.actions import Actions  # noqa: PLC0415 - httpx and msgspec cost 0.2 s, which --help must not pay

    return Actions(server)


def _archives(server: str | None, local: bool, wait: bool = True) -> "Archives":
    if local:
        from cli.archives import Local  # noqa: PLC0415 - as above

        return Local()
    from cli.archives_remote import Remote  # noqa: PLC0415 - as above

    return Remote(server, wait=wait)


def _media(server: str | None) -> "Media":
    from cli.media import Media  # noqa: PLC0415 - as above

    return Media(server)


def _offers(*words: str) -> Callable[[str], list[str]]:
    """What a shell may complete."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def _version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Archive NAS folders to Globus; no byte of a source is deleted unless it is proven to be at the destination."""


@app.command(epilog=status_help(LOCAL))
def up(
    env_file: Annotated[
        Path | None,
        typer.Option("--env-file", metavar="FILE", help="Also read settings from this file; the environment wins over it."),
    ] = None,
) -> None:
    """Start everything on this machine, and stay until Ctrl-C.

    Engines, services and web interface; settings come from the environment (QNAP_BASE_PATH, DATA_DIR, ...).
    """
    _devstack("up", *([] if env_file is None else [env_file]))


@app.command(epilog=status_help(LOCAL))
def destroy(
    yes: Annotated[bool, typer.Option("--yes", help="Really do it.")] = False,
) -> None:
    """Delete what `up` made on this machine: DATA_DIR with database, staging, logs and the EMULATED destination.

    The NAS and a real Globus destination are not touched.
    """
    if not yes:
        raise Failure(
            Exit.USAGE,
            "This deletes every job with its evidence, and an emulated destination's archives: say --yes.",
        )
    _devstack("destroy")


@app.command(epilog=_READ, context_settings=_MORE)
def login(
    context: typer.Context,
    server: Server = None,
    user: Annotated[str | None, typer.Option("--user", "-u", metavar="NAME", help="Else CS_ARCHIVER_USER, or asked for.")] = None,
) -> None:
    """Log in, and stay logged in on this machine.

    The password is asked for, taken from CS_ARCHIVER_PASSWORD, or read from stdin; never from the command line.
    """
    _no_password(
        context.args, "say who with --user NAME; the password is asked for, or taken from CS_ARCHIVER_PASSWORD or one line of stdin"
    )
    _actions(server).login(user)


@app.command(epilog=_READ)
def logout() -> None:
    """Log out: forget the login here, and void it at the server."""
    _actions(None).logout()


@app.command(epilog=_READ, context_settings=_MORE)
def password(context: typer.Context, server: Server = None) -> None:
    """Change your password.

    Both are asked for, taken from CS_ARCHIVER_PASSWORD and CS_ARCHIVER_NEW_PASSWORD, or read from stdin, one per line.
    """
    _no_password(
        context.args, "both are asked for, or taken from CS_ARCHIVER_PASSWORD and CS_ARCHIVER_NEW_PASSWORD or two lines of stdin"
    )
    _actions(server).password()


@app.command(epilog=_READ)
def folders(
    q: Annotated[str | None, typer.Option("-q", "--query", metavar="TEXT", help="Only folders whose path has this in it.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Scan the NAS first.")] = False,
    sort: Annotated[Sort | None, typer.Option("--sort", help="Biggest, fullest, newest first; names from A.")] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Also those that are archived already.")] = False,
    ignored: Annotated[bool, typer.Option("--ignored", help="Also those that are never offered, and why.")] = False,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List the folders that can be archived."""
    _actions(server).folders(q, refresh, sort, archived, ignored, as_json)


@app.command(epilog=_WAIT)
def archive(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Level1/Level2/Folder as `folders` shows it, or the absolute path.")],
    keep_source: Annotated[bool, typer.Option("--keep-source", help="Archive, but delete nothing on the NAS.")] = False,
    wait: Wait = False,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Archive a folder; prints the job's id."""
    _actions(server).archive(path, keep_source, wait, as_json)


@app.command(epilog=_READ)
def jobs(
    status: Annotated[str | None, typer.Option("--status", metavar="STATUS", help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List jobs, newest first."""
    _actions(server).jobs(status, limit, as_json)


@app.command(epilog=_READ)
def history(
    q: Annotated[str | None, typer.Argument(metavar="TEXT", help="Part of the path.")] = None,
    status: Annotated[list[Ended] | None, typer.Option("--status", help="Only jobs that ended so; repeat it for several.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only jobs that this user asked for.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Ended then or later.")] = None,
    before: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Ended before; a day counts to its end.")] = None,
    sort: Annotated[HistorySort, typer.Option("--sort", help="Order; newest, largest or longest first.")] = HistorySort.ENDED,
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List jobs that have ended, the last to end first."""
    states = [one.value for one in status or []]
    _actions(server).history(q, states, user, since, before, sort.value, reverse, limit, as_json)


@app.command(epilog=_WAIT)
def job(job_id: JobId, wait: Wait = False, as_json: Json = False, server: Server = None) -> None:
    """Show one job: facts, when it entered each state, the proofs of arrival."""
    _actions(server).job(job_id, wait, as_json)


@app.command(epilog=_READ)
def queue(as_json: Json = False, server: Server = None) -> None:
    """Show what is at work and what waits, in order."""
    _actions(server).queue(as_json)


@app.command(epilog=_JOB)
def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    level: Annotated[Level | None, typer.Option("--level", case_sensitive=False, help="Only lines of this level.")] = None,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Show a job's log."""
    _actions(server).logs(job_id, follow, level, as_json)


@app.command(epilog=_CHANGE)
def cancel(job_id: JobId, server: Server = None) -> None:
    """Cancel a job; its source folder stays as it is."""
    _actions(server).cancel(job_id)


@app.command(epilog=_CHANGE)
def pause(job_id: JobId, server: Server = None) -> None:
    """Pause a job; it keeps its state, its place and its space, and survives restarts."""
    _actions(server).pause(job_id)


@app.command(epilog=_CHANGE)
def resume(job_id: JobId, server: Server = None) -> None:
    """Let a paused job go on."""
    _actions(server).resume(job_id)


@app.command(epilog=_CHANGE)
def release(job_id: JobId, server: Server = None) -> None:
    """Free the destination of an archive that was removed there, so that the name can be used again (admins)."""
    _actions(server).release(job_id)


@app.command(epilog=_CHANGE)
def retry(job_id: JobId, as_json: Json = False, server: Server = None) -> None:
    """Queue a failed job again."""
    _actions(server).retry(job_id, as_json)


@app.command(epilog=_CHANGE)
def clear(job_id: JobId, server: Server = None) -> None:
    """Hide a job that has ended from the history; a failed one needs nobody any more."""
    _actions(server).clear(job_id)


@app.command("zip", epilog=_ARCHIVE)
def zip_(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and folders.", show_default=False)],
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="The archive's path; else beside what it is made of.")
    ] = None,
    form: Annotated[
        ArchiveFormat | None,
        typer.Option("--format", "-f", help="Else as the output's name ends; else the server's default, zip with --local."),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option("--level", "-l", min=0, max=9, help="0 stores, 9 packs smallest; else the server's, 6 with --local."),
    ] = None,
    password: Password = False,
    password_file: PasswordFile = None,
    volume: Annotated[
        str | None, typer.Option("--volume", metavar="SIZE", help="Split zip or 7z into parts of this size: 700M, 4G.")
    ] = None,
    local: Local = False,
    wait: Follow = True,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Make an archive, test it, and compare it with what it was made of.

    `zip PATH FORMAT LEVEL` is understood as well.
    """
    paths, form, level = _format_words(paths, form, level, local)
    _archives(server, local, wait).zip(paths, output, form, level, password, password_file, volume, as_json)


def _format_words(
    paths: list[str], form: ArchiveFormat | None, level: int | None, local: bool
) -> tuple[list[str], ArchiveFormat | None, int | None]:
    """`zip PATH FORMAT [LEVEL]`, as the format and level that are meant. Raises Failure where a file could be meant as well."""
    words = [each.value for each in ArchiveFormat]
    if form is not None or len(paths) not in {2, 3}:
        return paths, form, level
    if paths[1] == "rar" and not (local and os.path.lexists("rar")):
        raise Failure(Exit.USAGE, f"Archives of the format rar can be opened, but not made. Choose one of {', '.join(words)}.")
    if paths[1] not in words:
        return paths, form, level
    if local and os.path.lexists(paths[1]):
        raise Failure(Exit.USAGE, f"Is {paths[1]} the format, or the file of that name? Say --format {paths[1]}, or ./{paths[1]}.")
    if len(paths) == 3:
        if not (paths[2].isascii() and paths[2].isdigit() and len(paths[2]) == 1):
            raise Failure(Exit.USAGE, f"After the format {paths[1]} comes a level from 0 to 9. Say --format for several paths.")
        level = int(paths[2]) if level is None else level
    return paths[:1], ArchiveFormat(paths[1]), level


@app.command(epilog=_ARCHIVE, context_settings=_MORE)
def unzip(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="ARCHIVE", help="zip, 7z, rar, tar, tar.gz, ...", show_default=False)],
    destination: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help="Where to; else beside the archive.", show_default=False)
    ] = None,
    entries: Annotated[
        list[str] | None, typer.Option("--entry", "-e", metavar="NAME", help="Only this file or folder of it; may be repeated.")
    ] = None,
    password: Password = False,
    password_file: PasswordFile = None,
    local: Local = False,
    wait: Follow = True,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Unpack an archive; nothing that exists is overwritten."""
    _no_password(context.args, _HOW)
    _archives(server, local, wait).unzip(path, destination, entries or [], password, password_file, as_json)


@app.command(epilog=_ARCHIVE, context_settings=_MORE)
def zipinfo(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="ARCHIVE", help="zip, 7z, rar, tar, tar.gz, ...", show_default=False)],
    entries: Annotated[bool, typer.Option("--list", help="Also every entry.")] = False,
    password: Password = False,
    password_file: PasswordFile = None,
    local: Local = False,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Show what an archive holds, without unpacking it."""
    _no_password(context.args, _HOW)
    _archives(server, local).zipinfo(path, entries, password, password_file, as_json)


@app.command(epilog=_READ)
def status(as_json: Json = False, server: Server = None) -> None:
    """Show disk space, workers and counts."""
    _actions(server).status(as_json)


@app.command(epilog=_CHANGE)
def files(
    action: Annotated[
        str,
        typer.Argument(
            help="ls, get, put, mkdir, mv, rm or auto.", autocompletion=_offers("ls", "get", "put", "mkdir", "mv", "rm", "auto")
        ),
    ] = "ls",
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="ls [FOLDER], get FILE [TO], put FILE [TO], mkdir, mv FROM TO, rm, auto on."),
    ] = None,
    query: Annotated[
        str | None, typer.Option("-q", "--query", metavar="TEXT", help="ls: only names that have this in them.")
    ] = None,
    nas: Annotated[bool, typer.Option("--nas", help="ls: look at the NAS instead of your workspace.")] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="ls: all below; mkdir: with those above; rm: with all in it.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="get, put, mv: replace a file that is there.")] = False,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List and change the files of your workspace.

    `get` and `put` show their progress; run again after an interruption, they go on where they stopped. `auto on` has a zip made of what
    arrives by an upload or an extraction, in a folder or in the whole workspace.
    """
    _files(server).files(action, paths or [], query, nas=nas, recursive=recursive, overwrite=overwrite, as_json=as_json)


@app.command(epilog=_WAIT)
def pack(
    path: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help="Folder of your workspace; without: list your packs.")
    ] = None,
    nas: Annotated[bool, typer.Option("--nas", help="FOLDER is one of the NAS, which always stays.")] = False,
    keep_source: Annotated[bool, typer.Option("--keep-source", help="Do not delete the folder afterwards.")] = False,
    wait: Wait = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Wait, and download the archive to this file.")
    ] = None,
    download: Annotated[str | None, typer.Option("--download", metavar="ID", help="Download what a finished pack made.")] = None,
    cancel: Annotated[str | None, typer.Option("--cancel", metavar="ID", help="Cancel a pack.")] = None,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Pack a folder into one archive to download.

    A workspace folder is DELETED after its archive was tested and compared with it, unless --keep-source is given.
    """
    _files(server).pack(
        path, nas=nas, keep_source=keep_source, wait=wait, output=output, download=download, cancel=cancel, as_json=as_json
    )


@app.command(epilog=_CHANGE, context_settings=_MORE)
def users(
    context: typer.Context,
    action: Annotated[
        str,
        typer.Argument(
            help="list, add, delete, disable, enable, promote, demote or password.",
            autocompletion=_offers("list", "add", "delete", "disable", "enable", "promote", "demote", "password"),
        ),
    ] = "list",
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Whom.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="add: make an admin.")] = False,
    must_change: Annotated[bool, typer.Option("--must-change", help="add, password: to be changed at the next login.")] = False,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List and change users; for admins.

    A new password is asked for, taken from CS_ARCHIVER_NEW_PASSWORD, or read from stdin; never from the command line.
    """
    _no_password(context.args, "a new one is asked for, or taken from CS_ARCHIVER_NEW_PASSWORD or one line of stdin")
    _admin(server).users(action, name, admin, must_change, as_json)


@app.command(epilog=_CHANGE)
def tokens(
    action: Annotated[str, typer.Argument(help="list, add or revoke.", autocompletion=_offers("list", "add", "revoke"))] = "list",
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Which.")] = None,
    scope: Annotated[Scope, typer.Option("--scope", help="add: what it may do.")] = Scope.READ,
    days: Annotated[int | None, typer.Option("--days", min=1, help="add: how long it lasts; else until revoked.")] = None,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List, make and revoke your personal tokens for scripts."""
    _admin(server).tokens(action, name, scope.value, days, as_json)


@app.command(epilog=_READ)
def audit(
    actor: Annotated[str | None, typer.Option("--actor", metavar="NAME", help="Only what this user did.")] = None,
    action: Annotated[str | None, typer.Option("--action", metavar="WORD", help="Only this: login, job_cancel, ...")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Show who did what, when and from where; for admins."""
    _admin(server).audit(actor, action, limit, as_json)


FilePath = Annotated[str, typer.Argument(metavar="PATH", show_default=False, help="In your workspace; see --nas and --local.")]
OnNas = Annotated[bool, typer.Option("--nas", help="PATH is below the NAS's base.")]
OnThisMachine = Annotated[bool, typer.Option("--local", help="PATH is a file of this machine; no server is asked.")]
_FILE = status_help((*SERVER, Exit.NOT_FOUND))


@app.command(epilog=_FILE)
def mediainfo(
    path: FilePath,
    word: Annotated[str | None, typer.Argument(metavar="brief", show_default=False, help="The same as --brief.")] = None,
    brief: Annotated[bool, typer.Option("--brief", help="Only what fits on a card.")] = False,
    nas: OnNas = False,
    local: OnThisMachine = False,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Show what a media file is: container, streams, chapters, tags, quality."""
    if word not in {None, "brief"}:
        raise Failure(Exit.USAGE, "Behind the file only the word brief may follow; mediainfo looks at one file at a time.")
    _media(server).info(path, brief or word is not None, nas, local, as_json)


@app.command(epilog=_FILE)
def mstats(path: FilePath, nas: OnNas = False, local: OnThisMachine = False, as_json: Json = False, server: Server = None) -> None:
    """Show a media file in a few lines; the same as `mediainfo --brief`."""
    _media(server).info(path, True, nas, local, as_json)


@app.command(epilog=status_help((*SERVER, Exit.NOT_FOUND, Exit.CONFLICT)))
def thumbnail(
    path: FilePath,
    timestamp: Annotated[str, typer.Argument(metavar="HH:MM:SS", help="When; past the end: the last picture.")] = "00:00:05",
    width: Annotated[int | None, typer.Option("--width", min=16, max=1920, help="Pixels; else THUMBNAIL_SIZE.")] = None,
    frames: Annotated[
        int | None, typer.Option("--sheet", min=1, max=36, metavar="N", help="A contact sheet of N pictures.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Its ending says the kind: .jpg, .png, .webp; else NAME.jpg here."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    nas: OnNas = False,
    local: OnThisMachine = False,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Save one picture of a film, or a contact sheet."""
    _media(server).thumbnail(path, timestamp, width, frames, output, force, nas, local, as_json)


@app.command(epilog=_CHANGE)
def plan(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Level1/Level2/Folder as `folders` shows it, or the absolute path.")],
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Look into a folder before archiving it: what is in it, what would be refused, what it will cost."""
    _media(server).plan(path, as_json)


@app.command(epilog=status_help((Exit.OK, Exit.USAGE)))
def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.", show_default=False)]) -> None:
    """Print what a shell needs to complete commands, options and files.

    bash: source <(cs-archiver completion bash) in ~/.bashrc; zsh: the same in ~/.zshrc, after compinit; fish: cs-archiver completion fish >
    ~/.config/fish/completions/cs-archiver.fish.
    """
    from typer._completion_shared import get_completion_script  # noqa: PLC0415 - only this command needs it

    print(get_completion_script(prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, shell=shell.value))


@app.command("version", epilog=status_help((Exit.OK, Exit.USAGE)))
def version(as_json: Json = False) -> None:
    """Show the version of this program."""
    from importlib.metadata import version as installed  # noqa: PLC0415 - 20 ms that only this command needs

    number = installed("cs-archiver")
    print(f'{{"version":"{number}"}}' if as_json else f"cs-archiver {number}")


def _devstack(name: str, *arguments: Path) -> None:
    """Hand over to the embedded edition's own command."""
    try:
        module: Any = importlib.import_module(f"devstack.{name}")
    except ModuleNotFoundError as exc:
        sentence = f"The single-machine edition is not installed ({exc}): pip install 'cs-archiver[embedded]'."
        raise Failure(Exit.CONFIGURATION, sentence) from exc
    try:
        code = module.main(*arguments)
    except ConfigurationError as exc:
        raise Failure(Exit.CONFIGURATION, str(exc)) from exc
    raise typer.Exit(code if isinstance(code, int) else Exit.OK)
