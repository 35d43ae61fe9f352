"""The marker: the one file that stays in an archived folder and says where the rest went.

It has its final name before the first unlink, so that no crash ever offers a half-empty folder for archiving again. It is written
to a temporary file and renamed into place, so a reader always sees the whole text. Its `Job ID:` line tells which job owns it.
"""

import errno
import os
import secrets
import stat
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from shared import units
from shared.errors import PermanentError
from shared.files import handles
from shared.files.manifest import printable
from shared.files.manifest_deletion import Kept
from shared.files.markers import MARKER_SUFFIX

_LONGEST_TEXT = 1 << 20  # a larger file is not one of our markers
_TRIES = 5  # only a concurrent run of the same job that cleans up at that very instant ever needs the second
_NAMED = 50  # kept files that the marker names; the job's log has all of them


class MarkerFacts(msgspec.Struct, frozen=True):
    """The content of a marker. archived_on: aware, shown in UTC, the same at every resume. archive_size: bytes. sha256: hex."""

    archived_on: datetime
    archive_name: str
    globus_path: str
    job_id: str
    user: str
    archive_size: int
    sha256: str
    file_count: int


def marker_name(folder_name: str) -> bytes:
    """Return the marker's name. Raises PermanentError when the folder's name leaves no room for it."""
    name = os.fsencode(folder_name + MARKER_SUFFIX)
    if len(name) > handles.NAME_LIMIT:
        longest = handles.NAME_LIMIT - len(MARKER_SUFFIX)
        raise PermanentError(
            f"The folder's name is too long for its marker file: shorten it to {units.exact_size(longest)}. It is {folder_name!r}."
        )
    return name


def job_prefix(job_id: str) -> bytes:
    """Return the prefix of every temporary name of a job."""
    return b".csa-" + uuid.UUID(job_id).hex.encode() + b"-"


def in_progress_text(facts: MarkerFacts) -> str:
    """Return the marker's text for a folder that is being emptied."""
    return (
        "Deletion in progress: this folder is archived and verified, and is being emptied.\n"
        "What was added or changed after the copy stays. Please add nothing until this text has changed.\n"
        f"Archive name: {_line(facts.archive_name)}\n"
        f"Globus path: {_line(facts.globus_path)}\n"
        f"{_job_line(facts.job_id)}\n"
        f"User: {_line(facts.user)}\n"
    )


def final_text(facts: MarkerFacts, kept: Sequence[Kept]) -> str:
    """Return the final text: five lines for people, then the archive's proof, then what stayed and what to do about it."""
    when = f"{facts.archived_on:%Y-%m-%d %H:%M:%S}"
    if facts.archived_on.utcoffset() is None or facts.archived_on.utcoffset():
        raise ValueError("archived_on must be in UTC")
    return (
        f"Archived on: {when} UTC\n"
        f"Archive name: {_line(facts.archive_name)}\n"
        f"Globus path: {_line(facts.globus_path)}\n"
        f"{_job_line(facts.job_id)}\n"
        f"User: {_line(facts.user)}\n"
        f"Archive size: {facts.archive_size} bytes\n"
        f"SHA-256: {facts.sha256}\n"
        f"Files archived: {facts.file_count}\n"
    ) + _kept_text(kept)


def write_in_progress(
    folder: int, name: bytes, text: str, job_id: str, fault_point: Callable[[str], None] = lambda _point: None
) -> None:
    """Put the marker in place, durable on return. This job's own marker from an earlier attempt is left as it is.

    Raises PermanentError when a file that is not ours has that name.
    """
    for _ in range(_TRIES):
        if is_own(folder, name, job_id):
            break
        temporary = _write_temporary(folder, text, job_id)
        fault_point("marker.temporary")
        try:
            handles.rename_noreplace(folder, temporary, folder, name)
            break
        except FileNotFoundError:
            continue  # another run of this job removed our temporary file
        except FileExistsError as exc:
            _unlink(folder, temporary)
            if not is_own(folder, name, job_id):
                raise PermanentError(
                    f"The folder holds a file {printable(name)} that is not this job's marker. Nothing was deleted. "
                    "Rename or remove that file, then archive the folder again."
                ) from exc
    else:
        raise FileNotFoundError(errno.ENOENT, "the marker's temporary file vanishes again and again", os.fsdecode(name))
    handles.sync_directory(folder)


def replace_final(
    folder: int, name: bytes, text: str, job_id: str, fault_point: Callable[[str], None] = lambda _point: None
) -> bool:
    """Replace this job's marker (or none at all) with the final text, durable on return.

    Returns False, and changes nothing, when a file that is not ours has that name because a person put it there meanwhile.
    """
    for _ in range(_TRIES):
        temporary = _write_temporary(folder, text, job_id)
        fault_point("marker.temporary")
        try:
            if is_own(folder, name, job_id):
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            else:
                handles.rename_noreplace(folder, temporary, folder, name)
        except FileNotFoundError:
            continue  # another run of this job removed our temporary file
        except FileExistsError:
            _unlink(folder, temporary)
            return False
        handles.sync_directory(folder)
        return True
    raise FileNotFoundError(errno.ENOENT, "the marker's temporary file vanishes again and again", os.fsdecode(name))


def remove_own(folder: int, name: bytes, job_id: str) -> bool:
    """Remove this job's marker, for a job that fails before its first unlink. Returns False when there is none of ours."""
    clear_temporaries(folder, job_id)
    if not is_own(folder, name, job_id):
        return False
    _unlink(folder, name)
    handles.sync_directory(folder)
    return True


def is_own(folder: int, name: bytes, job_id: str) -> bool:
    """Return whether a regular file of that name is there and names our job on a line of its own."""
    try:
        with handles.file(folder, name) as handle:
            content = os.read(handle, _LONGEST_TEXT)
    except FileNotFoundError:
        return False
    except PermanentError:
        return False
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return False
        raise
    return _job_line(job_id).encode() in content.splitlines()


def clear_temporaries(folder: int, job_id: str) -> None:
    """Remove half-written markers of this job that a killed run left. They are ours by name and content, or have no content."""
    for name in (os.fsencode(name) for name in os.listdir(folder)):
        if not is_temporary(name, job_id):
            continue
        facts = handles.lstat(folder, name)
        if facts is not None and stat.S_ISREG(facts.st_mode) and (facts.st_size == 0 or is_own(folder, name, job_id)):
            _unlink(folder, name)


def is_temporary(name: bytes, job_id: str) -> bool:
    """Return whether this job writes its marker under such a name before it renames it."""
    return name.startswith(job_prefix(job_id) + b"marker-")


def _job_line(job_id: str) -> str:
    return f"Job ID: {uuid.UUID(job_id)}"


def _line(text: str) -> str:
    """Return text as one line: a line break in a name must not be able to forge another field."""
    return printable(text.encode("utf-8", "surrogateescape"))


def _kept_text(kept: Sequence[Kept]) -> str:
    if not kept:
        return "Kept in this folder: nothing else\n"
    lines = [f"Kept in this folder: {units.counted(len(kept), 'file')} that could not be proven to be in the archive:"]
    lines += [f"  {printable(item.path)} ({item.reason})" for item in kept[:_NAMED]]
    if len(kept) > _NAMED:
        lines.append(f"  and {len(kept) - _NAMED} more, named in the job's log")
    lines.append("To archive them too: move them into a new folder beside this one, and archive that folder.")
    return "\n".join(lines) + "\n"


def _write_temporary(folder: int, text: str, job_id: str) -> bytes:
    # Each writer has its own name, so it never collides with an older attempt that still runs.
    name = job_prefix(job_id) + b"marker-" + secrets.token_hex(4).encode()
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    return name


def _unlink(folder: int, name: bytes) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
