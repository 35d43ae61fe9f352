"""The command line: names, options and help. Each command parses its arguments and calls one method of `cli.actions.Actions`."""

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
    help="Archive NAS folders to Globus. No byte of a source is deleted unless it is proven to be at the destination.",
    epilog=status_help(tuple(Exit)),
    no_args_is_help=True,
    add_completion=False,  # `completion` prints the script; nothing writes to users' start-up files
    rich_markup_mode=None,  # plain help: rich would cost 0.1 s before the first character
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", envvar="CS_ARCHIVER_URL", help="The gateway's address; by default that of the login."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, one document per line.")]
JobId = Annotated[str, typer.Argument(metavar="ID", show_default=False, help="Job id, or its first six characters or more.")]
Follow = Annotated[bool, typer.Option("--wait/--no-wait", help="Show the progress until the job ends; else print its id.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show the progress until the job ends; Ctrl-C leaves it running.")]

Local = Annotated[bool, typer.Option("--local", help="Work on local files, without a server.")]
Password = Annotated[
    bool,
    typer.Option("--password", "-p", help="Ask for a password, or take it from CS_ARCHIVER_ARCHIVE_PASSWORD or stdin."),
]
PasswordFile = Annotated[
    str | None, typer.Option("--password-file", metavar="FILE", help="Read the password from the first line of this file.")
]

_MORE = {"allow_extra_args": True}
"""For commands where users may type a password after the last argument: the error message must not repeat it."""

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
    """The orders of `cli.actions.FOLDER_ORDER`; a test compares the two."""

    PATH = "path"
    NAME = "name"
    SIZE = "size"
    FILES = "files"
    MODIFIED = "modified"


class HistorySort(StrEnum):
    """The gateway's orders of the history; a test compares the two."""

    ENDED = "ended"
    NAME = "name"
    SIZE = "size"
    DURATION = "duration"


class Ended(StrEnum):
    """The final states of a job; a test compares them with the state machine."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ArchiveFormat(StrEnum):
    """The formats of new archives; a test compares them with `shared.domain.requests.FORMATS`."""

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
    """Return a completer that offers these words."""
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
    """Archive NAS folders to Globus. No byte of a source is deleted unless it is proven to be at the destination."""


@app.command(epilog=status_help(LOCAL))
def up(
    env_file: Annotated[
        Path | None,
        typer.Option("--env-file", metavar="FILE", help="Also read settings from this file; the environment wins over it."),
    ] = None,
) -> None:
    """Start everything on this machine, and run until Ctrl-C.

    Starts database, message server, services and web interface. Settings come from the environment (QNAP_BASE_PATH, DATA_DIR, ...).
    """
    _devstack("up", *([] if env_file is None else [env_file]))


@app.command(epilog=status_help(LOCAL))
def destroy(
    yes: Annotated[bool, typer.Option("--yes", help="Confirm the deletion.")] = False,
) -> None:
    """Delete everything that `up` created on this machine.

    This is DATA_DIR with database, staging, logs and the EMULATED destination. The NAS and a real Globus destination are not touched.
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
    user: Annotated[
        str | None, typer.Option("--user", "-u", metavar="NAME", help="User name; default: CS_ARCHIVER_USER, else asked for.")
    ] = None,
) -> None:
    """Log in, and stay logged in on this machine.

    Type the password when asked, set CS_ARCHIVER_PASSWORD, or pipe it to stdin. It is never an argument.
    """
    _no_password(
        context.args, "say who with --user NAME; the password is asked for, or taken from CS_ARCHIVER_PASSWORD or one line of stdin"
    )
    _actions(server).login(user)


@app.command(epilog=_READ)
def logout() -> None:
    """Log out, and revoke the login at the server."""
    _actions(None).logout()


@app.command(epilog=_READ, context_settings=_MORE)
def password(context: typer.Context, server: Server = None) -> None:
    """Change your password.

    Type both passwords when asked, set CS_ARCHIVER_PASSWORD and CS_ARCHIVER_NEW_PASSWORD, or pipe them to stdin, one per line.
    """
    _no_password(
        context.args, "both are asked for, or taken from CS_ARCHIVER_PASSWORD and CS_ARCHIVER_NEW_PASSWORD or two lines of stdin"
    )
    _actions(server).password()


@app.command(epilog=_READ)
def folders(
    q: Annotated[str | None, typer.Option("-q", "--query", metavar="TEXT", help="Only folders whose path contains this.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Scan the NAS first.")] = False,
    sort: Annotated[
        Sort | None, typer.Option("--sort", help="Order: largest, most files or newest first; names from A to Z.")
    ] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Also list archived folders.")] = False,
    ignored: Annotated[bool, typer.Option("--ignored", help="Also list folders that cannot be archived, with the reason.")] = False,
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
    """Archive a folder, and print the job's id."""
    _actions(server).archive(path, keep_source, wait, as_json)


@app.command(epilog=_READ)
def jobs(
    status: Annotated[str | None, typer.Option("--status", metavar="STATUS", help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of results.")] = 100,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List jobs, newest first."""
    _actions(server).jobs(status, limit, as_json)


@app.command(epilog=_READ)
def history(
    q: Annotated[str | None, typer.Argument(metavar="TEXT", help="Part of the path.")] = None,
    status: Annotated[list[Ended] | None, typer.Option("--status", help="Only jobs that ended like this; may be repeated.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only jobs that this user requested.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Only jobs that ended at this time or later.")] = None,
    before: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Only jobs that ended before; a day counts to its end.")
    ] = None,
    sort: Annotated[
        HistorySort, typer.Option("--sort", help="Order: newest, largest or longest first; names from A to Z.")
    ] = HistorySort.ENDED,
    reverse: Annotated[bool, typer.Option("--reverse", help="Reverse the order.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of results.")] = 100,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List jobs that have ended, the latest first."""
    states = [one.value for one in status or []]
    _actions(server).history(q, states, user, since, before, sort.value, reverse, limit, as_json)


@app.command(epilog=_WAIT)
def job(job_id: JobId, wait: Wait = False, as_json: Json = False, server: Server = None) -> None:
    """Show one job: facts, times, and proofs of arrival."""
    _actions(server).job(job_id, wait, as_json)


@app.command(epilog=_READ)
def queue(as_json: Json = False, server: Server = None) -> None:
    """Show running and waiting jobs, in order."""
    _actions(server).queue(as_json)


@app.command(epilog=_JOB)
def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the job has ended.")] = False,
    level: Annotated[Level | None, typer.Option("--level", case_sensitive=False, help="Only lines of this level.")] = None,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Show a job's log."""
    _actions(server).logs(job_id, follow, level, as_json)


@app.command(epilog=_CHANGE)
def cancel(job_id: JobId, server: Server = None) -> None:
    """Cancel a job. Its source folder is not changed."""
    _actions(server).cancel(job_id)


@app.command(epilog=_CHANGE)
def pause(job_id: JobId, server: Server = None) -> None:
    """Pause a job. It keeps its state, its place and its space, and stays paused after restarts."""
    _actions(server).pause(job_id)


@app.command(epilog=_CHANGE)
def resume(job_id: JobId, server: Server = None) -> None:
    """Resume a paused job."""
    _actions(server).resume(job_id)


@app.command(epilog=_CHANGE)
def release(job_id: JobId, server: Server = None) -> None:
    """Release the destination of a removed archive (admins).

    The name can then be used again. Refused unless the archive is gone from the destination.
    """
    _actions(server).release(job_id)


@app.command(epilog=_CHANGE)
def retry(job_id: JobId, as_json: Json = False, server: Server = None) -> None:
    """Queue a failed job again."""
    _actions(server).retry(job_id, as_json)


@app.command(epilog=_CHANGE)
def clear(job_id: JobId, server: Server = None) -> None:
    """Hide a job that has ended from the history.

    For example, hide a failed job that nobody will retry. Nothing is erased.
    """
    _actions(server).clear(job_id)


@app.command("zip", epilog=_ARCHIVE)
def zip_(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and folders.", show_default=False)],
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Path of the archive; default: beside its sources.")
    ] = None,
    form: Annotated[
        ArchiveFormat | None,
        typer.Option("--format", "-f", help="Default: from the output's extension, else the server's; zip with --local."),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option("--level", "-l", min=0, max=9, help="0 only stores, 9 is smallest; default: the server's, 6 with --local."),
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
    """Make an archive, test it, and compare it with its sources.

    The short form `zip PATH FORMAT LEVEL` works as well.
    """
    paths, form, level = _format_words(paths, form, level, local)
    _archives(server, local, wait).zip(paths, output, form, level, password, password_file, volume, as_json)


def _format_words(
    paths: list[str], form: ArchiveFormat | None, level: int | None, local: bool
) -> tuple[list[str], ArchiveFormat | None, int | None]:
    """Parse the short form `zip PATH FORMAT [LEVEL]`. Raises Failure if the format could also be the name of a file."""
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
        str | None, typer.Argument(metavar="FOLDER", help="Target folder; default: beside the archive.", show_default=False)
    ] = None,
    entries: Annotated[
        list[str] | None, typer.Option("--entry", "-e", metavar="NAME", help="Only this file or folder; may be repeated.")
    ] = None,
    password: Password = False,
    password_file: PasswordFile = None,
    local: Local = False,
    wait: Follow = True,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Unpack an archive. Existing files are never overwritten."""
    _no_password(context.args, _HOW)
    _archives(server, local, wait).unzip(path, destination, entries or [], password, password_file, as_json)


@app.command(epilog=_ARCHIVE, context_settings=_MORE)
def zipinfo(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="ARCHIVE", help="zip, 7z, rar, tar, tar.gz, ...", show_default=False)],
    entries: Annotated[bool, typer.Option("--list", help="Also list every entry.")] = False,
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
    """Show disk space, workers, counts, and what needs attention."""
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
    query: Annotated[str | None, typer.Option("-q", "--query", metavar="TEXT", help="ls: only names that contain this.")] = None,
    nas: Annotated[bool, typer.Option("--nas", help="ls: look at the NAS instead of your workspace.")] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="ls: include subfolders; mkdir: create parents; rm: remove all content.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="get, put, mv: replace an existing file.")] = False,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List and change the files of your workspace.

    `get` and `put` show their progress. Run them again after an interruption, and they resume. With `auto on`, the server makes a
    zip of new uploads and extractions, in a folder or in the whole workspace.
    """
    _files(server).files(action, paths or [], query, nas=nas, recursive=recursive, overwrite=overwrite, as_json=as_json)


@app.command(epilog=_WAIT)
def pack(
    path: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help="Folder in your workspace; without it: list your packs.")
    ] = None,
    nas: Annotated[bool, typer.Option("--nas", help="FOLDER is on the NAS; NAS folders are never deleted.")] = False,
    keep_source: Annotated[bool, typer.Option("--keep-source", help="Do not delete the folder afterwards.")] = False,
    wait: Wait = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Wait, and download the archive to this file.")
    ] = None,
    download: Annotated[
        str | None, typer.Option("--download", metavar="ID", help="Download the archive of a finished pack.")
    ] = None,
    cancel: Annotated[str | None, typer.Option("--cancel", metavar="ID", help="Cancel a pack.")] = None,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Pack a folder into one archive to download.

    A workspace folder is DELETED once its archive was tested and compared with it, unless --keep-source is given.
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
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="User name.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="add: create an admin.")] = False,
    must_change: Annotated[bool, typer.Option("--must-change", help="add, password: require a change at the next login.")] = False,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List and change users (admins).

    Type a new password when asked, set CS_ARCHIVER_NEW_PASSWORD, or pipe it to stdin. It is never an argument.
    """
    _no_password(context.args, "a new one is asked for, or taken from CS_ARCHIVER_NEW_PASSWORD or one line of stdin")
    _admin(server).users(action, name, admin, must_change, as_json)


@app.command(epilog=_CHANGE)
def tokens(
    action: Annotated[str, typer.Argument(help="list, add or revoke.", autocompletion=_offers("list", "add", "revoke"))] = "list",
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the token.")] = None,
    scope: Annotated[Scope, typer.Option("--scope", help="add: permissions of the token.")] = Scope.READ,
    days: Annotated[int | None, typer.Option("--days", min=1, help="add: days until it expires; default: never.")] = None,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """List, create and revoke your personal tokens for scripts."""
    _admin(server).tokens(action, name, scope.value, days, as_json)


@app.command(epilog=_READ)
def audit(
    actor: Annotated[str | None, typer.Option("--actor", metavar="NAME", help="Only actions of this user.")] = None,
    action: Annotated[str | None, typer.Option("--action", metavar="WORD", help="Only this action: login, job_cancel, ...")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Maximum number of results.")] = 50,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Show who did what, when and from where (admins)."""
    _admin(server).audit(actor, action, limit, as_json)


FilePath = Annotated[str, typer.Argument(metavar="PATH", show_default=False, help="In your workspace; see --nas and --local.")]
OnNas = Annotated[bool, typer.Option("--nas", help="PATH is below the base of the NAS.")]
OnThisMachine = Annotated[bool, typer.Option("--local", help="PATH is a local file; no server is used.")]
_FILE = status_help((*SERVER, Exit.NOT_FOUND))


@app.command(epilog=_FILE)
def mediainfo(
    path: FilePath,
    word: Annotated[str | None, typer.Argument(metavar="brief", show_default=False, help="The same as --brief.")] = None,
    brief: Annotated[bool, typer.Option("--brief", help="Only a short summary.")] = False,
    nas: OnNas = False,
    local: OnThisMachine = False,
    as_json: Json = False,
    server: Server = None,
) -> None:
    """Show the facts about a media file.

    These are container, streams, chapters, tags and quality.
    """
    if word not in {None, "brief"}:
        raise Failure(Exit.USAGE, "Behind the file only the word brief may follow; mediainfo looks at one file at a time.")
    _media(server).info(path, brief or word is not None, nas, local, as_json)


@app.command(epilog=_FILE)
def mstats(path: FilePath, nas: OnNas = False, local: OnThisMachine = False, as_json: Json = False, server: Server = None) -> None:
    """Show a media file in a few lines, like `mediainfo --brief`."""
    _media(server).info(path, True, nas, local, as_json)


@app.command(epilog=status_help((*SERVER, Exit.NOT_FOUND, Exit.CONFLICT)))
def thumbnail(
    path: FilePath,
    timestamp: Annotated[
        str, typer.Argument(metavar="HH:MM:SS", help="Position in the film; past the end: the last picture.")
    ] = "00:00:05",
    width: Annotated[
        int | None, typer.Option("--width", min=16, max=1920, help="Width in pixels; default: THUMBNAIL_SIZE.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--sheet", min=1, max=36, metavar="N", help="Make a contact sheet of N pictures.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Output file: .jpg, .png or .webp; default: NAME.jpg in this folder."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
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
    """Preview a folder before archiving it.

    Shows its content, what would be refused, and the likely size and time.
    """
    _media(server).plan(path, as_json)


@app.command(epilog=status_help((Exit.OK, Exit.USAGE)))
def completion(shell: Annotated[Shell, typer.Argument(help="Name of the shell.", show_default=False)]) -> None:
    """Print the completion script for a shell.

    bash: source <(cs-archiver completion bash) in ~/.bashrc; zsh: the same in ~/.zshrc, after compinit; fish: cs-archiver completion fish >
    ~/.config/fish/completions/cs-archiver.fish.
    """
    from typer._completion_shared import get_completion_script  # noqa: PLC0415 - only this command needs it

    print(get_completion_script(prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, shell=shell.value))


@app.command("version", epilog=status_help((Exit.OK, Exit.USAGE)))
def version(as_json: Json = False) -> None:
    """Show the version of this program."""
    from importlib.metadata import version as installed  # noqa: PLC0415 - costs 20 ms, and only this command needs it

    number = installed("cs-archiver")
    print(f'{{"version":"{number}"}}' if as_json else f"cs-archiver {number}")


def _devstack(name: str, *arguments: Path) -> None:
    """Run the embedded edition's own command."""
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
