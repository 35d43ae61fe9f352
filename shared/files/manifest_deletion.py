"""Empty a folder by its manifest, entry by entry, and never delete a byte that is not exactly the archived one.

How one entry is deleted (`name` is what the user sees, `private` is `<the job's prefix><manifest index>-<token>`):

1. `name` is opened without following links. Its type, device, inode, size, mtime and ctime must equal those of the copy. If these
   values prove nothing, the content is hashed again instead, and mode, owner, attributes and ACLs are compared with the manifest.
   They prove nothing if
   - the file system does not stamp every write itself (SMB, FUSE, cluster file systems whose clients stamp, tmpfs for mapped writes);
   - our own unlink of a sibling hard link changed ctime;
   - the file changed shortly before the copy, so that a later write may get the same times (shared/files/clocks.py), or the clocks
     have drifted apart since, or the manifest does not say when the file was read.
   A hash proves only the past, so the file must have been at rest: if a write now could get the time that the file has, the run
   waits some seconds. An unreadable entry stays.
2. `name` is renamed to `private`. From then on nobody can open the entry by its known name.
3. No process may have it open for writing, and a process that tries to open it for writing must wait (a lease, if the kernel grants
   one: see below). The entry is unlinked if `private` still has the checked inode, its size, mtime, mode, owner, attributes and
   ACLs are unchanged, and no process waits to write. Otherwise it is renamed back without replacing. If `name` exists again, both
   stay and are reported.

The token is random and used once. Therefore two runs of one job (a new owner, and an old one that does not know that it is
fenced) cannot do harm. A private name holds only what its own run put there. Another run takes an entry over by renaming it to a
name of its own, and only one run can win that rename. The loser finds nothing and continues. The rename to `private` is a plain
rename: nobody else can know that name. If a file system lacks RENAME_NOREPLACE, the fallback (link, then unlink `name`) could
unlink a file that took the name in between.

The run can be killed at any instruction and run again. An entry under a private name is taken over, hashed, and unlinked or put
back. An unlinked entry counts as gone. An entry that was put back is judged like any other (its ctime has changed, so it stays).
Directories are empty or gone; a directory whose mode, owner, attributes or ACLs differ from the archived ones stays and is
reported.

Two cases cannot be detected. First, without leases (another machine's files, over NFS or SMB; files of another account, unless we
are root) a writer that opened the file before step 2 may write between the check and the unlink of step 3, or later. The kernel
has no conditional unlink. Second, a clock may be set back after the copy and forward again before the deletion.
"""

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from shared.errors import PermanentError
from shared.files import clocks, handles, mount, tree_scan
from shared.files.clocks import Stamp
from shared.files.manifest import Clock, Entry, EntryType, Manifest, printable

REPLACED = "replaced after the copy"
CHANGED = "changed after the copy"
TOUCHED = "attributes changed after the copy"
NEW = "added after the copy"
WRITTEN = "open for writing"
UNSURE = "its time is in the future, or the clock was set back: a change could not be seen"
GONE = "gone"

# File systems whose writers are all known to this kernel: if it refuses a lease, another process is writing.
_LOCAL = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"})
# File systems that maintain ctime themselves. On others (SMB, exFAT, FUSE, 9p, ...) it may be invented, so content is hashed
# again.
_KEEPS_CTIME = _LOCAL | {"ceph", "gpfs", "lustre", "nfs", "nfs4"}
# The file systems among these on which a write may leave the times unchanged. A cluster node stamps with its own clock, and the
# later time counts. A write through a memory map of a file in memory is not stamped at all.
_MISSES_WRITES = frozenset({"ceph", "gpfs", "lustre", "ramfs", "tmpfs"})
# Failures that concern one entry, which then stays. Any other (EIO, ESTALE, EROFS, ...) is the NAS's: the run ends and is
# repeated.
_ENTRY_ONLY = frozenset(
    {errno.EACCES, errno.EPERM, errno.EBUSY, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST}
    | {errno.ETXTBSY, errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENAMETOOLONG, errno.EMLINK, errno.EXDEV}
)
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOTDIR, errno.EISDIR})  # opening something else as a file
NO_DIRECTORY = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
# Failures to read one file. Other failures end the run, and so do these when the NAS is away.
_UNREADABLE = frozenset({errno.EACCES, errno.EPERM, errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.EREMOTEIO, errno.EILSEQ})
_CHUNK = 1 << 20  # bytes hashed between two calls of `stop`
_READS = 3  # maximum reads of a file that is touched while it is read
_REST_SECONDS = 10.0  # more than the coarsest unit and its margins, so that the wait ends even if the clock stands still
_LOOK_SECONDS = 0.05
NO_HANDLE = -1
Judgement = tuple[str | None, int]
"""Why an entry stays, or None; and its open handle (NO_HANDLE for a link)."""


class Kept(msgspec.Struct, frozen=True):
    """An entry that stays in the source: its path relative to the folder, and the reason as a short phrase."""

    path: bytes
    reason: str


class Callbacks(msgspec.Struct, frozen=True):
    """How the engine reaches the database. Each callback may raise, which ends the run at a safe point.

    before_first_unlink: commits `first_unlink_at` (keeping an earlier one); called at least once per run that deletes.
    log(action, path, size, result): one call per deletion attempt; path is relative and printable, size is in bytes.
    progress(done, total, reading): counts manifest entries. reading: the printable path of a file that is being read again; it
    counts as a fraction in `done`. stop: called between entries and while hashing; raises on a lost lease or shutdown. our_clock:
    the database's time, nanoseconds since 1970. look: asks a file system for its time (`clocks.look`). fault_point: named
    instants at which tests kill the process.
    """

    before_first_unlink: Callable[[], None]
    log: Callable[[str, str, int, str], None]
    progress: Callable[[float, int, str | None], None]
    stop: Callable[[], None]
    our_clock: Callable[[], int]
    look: Callable[[int, Stamp | None], Stamp] = clocks.look
    fault_point: Callable[[str], None] = lambda _point: None


class Plan(msgspec.Struct, frozen=True):
    """The manifest by directory: indexes of directories, parents first, and indexes of the files and links in each."""

    directories: list[int]
    children: dict[bytes, list[int]]


def difference(entry: Entry, facts: os.stat_result, device: int) -> str | None:
    """Return why this is not what was copied, ignoring ctime; None when it is. Pure."""
    if _type(facts) != entry.type or facts.st_dev != device or facts.st_ino != entry.inode:
        return REPLACED
    if facts.st_mtime_ns != entry.mtime_ns or facts.st_size != entry.size:
        return CHANGED
    return None


def keeps_ctime(handle: int) -> bool:
    """Return whether the file system below `handle` is known to maintain ctime; False when in doubt."""
    return _file_system(handle) in _KEEPS_CTIME


def stamps_writes(handle: int) -> bool:
    """Return whether the file system below `handle` is known to stamp ctime at every write by its own clock; False when in doubt."""
    return keeps_ctime(handle) and _file_system(handle) not in _MISSES_WRITES


def _file_system(handle: int) -> str:
    """Return the kernel's name for the file system; empty when in doubt."""
    try:
        lines = Path(f"/proc/self/fdinfo/{handle}").read_text().splitlines()
        mount_id = next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
        with Path("/proc/self/mountinfo").open(errors="surrogateescape") as mounts:
            return next(line.partition(" - ")[2].split()[0] for line in mounts if line.split(maxsplit=1)[0] == mount_id)
    except (OSError, StopIteration, IndexError):
        return ""


class Rereading:
    """Reads files again whose times prove nothing. Not thread-safe.

    copied: the clock at the copy. look: returns the file system's time, given the previous reading. our_clock: as in `Callbacks`.
    reading(entry, bytes done): reports the progress. check_place: raises when a failed read is the NAS's failure, not the file's.
    """

    def __init__(
        self,
        copied: Clock | None,
        look: Callable[[Stamp | None], Stamp],
        our_clock: Callable[[], int],
        reading: Callable[[Entry, int], None],
        check_place: Callable[[], None],
    ) -> None:
        self._copied = copied
        self._look = look
        self._our_clock = our_clock
        self._now: Clock | None = None
        self.latest: Stamp | None = None
        self.reading = reading
        self.check_place = check_place

    def must(self, entry: Entry) -> bool:
        """Return whether the content must be read even though the times equal those of the copy."""
        if self._now is None:
            now = self.look()
            self._now = Clock(now.server_ns, self._our_clock(), now.granularity_ns)
        return clocks.must_hash(entry, self._copied, self._now)

    def look(self) -> Stamp:
        """Return the file system's time now."""
        self.latest = self._look(self.latest)
        return self.latest

    def rest(self, mtime_ns: int, stop: Callable[[], None]) -> Stamp:
        """Wait up to `_REST_SECONDS` until no write could get this time; return the latest clock reading."""
        if self.latest is not None and clocks.is_past(mtime_ns, self.latest):
            return self.latest
        now, end = self.look(), time.monotonic() + _REST_SECONDS
        while clocks.could_repeat(mtime_ns, now, now) and time.monotonic() < end:
            stop()
            time.sleep(_LOOK_SECONDS)
            now = self.look()
        return now


class Proof:
    """Decides whether an object is still what was copied. Answers None for yes, else the reason.

    Without `rereading`, anything that only the content could prove is trusted. This is for a first check, which deletes nothing.
    """

    def __init__(self, folder: int, stop: Callable[[], None], rereading: Rereading | None = None) -> None:
        self.device = os.fstat(folder).st_dev
        self.ctime = keeps_ctime(folder)
        self._stamps_writes = stamps_writes(folder)
        self._is_local = _file_system(folder) in _LOCAL
        self._stop = stop
        self._again = rereading

    def of_file(self, handle: int, entry: Entry) -> str | None:
        """Judge an open file."""
        handles.write_back(handle)
        facts = os.fstat(handle)
        found = difference(entry, facts, self.device)
        if found is not None:
            return found
        is_untouched = facts.st_ctime_ns == entry.ctime_ns
        if self.ctime and not is_untouched and entry.links <= 1:
            return TOUCHED
        if self._again is None or (is_untouched and self._stamps_writes and not self._again.must(entry)):
            return None
        return self.by_content(handle, entry)

    def of_link(self, directory: int, name: bytes, entry: Entry, *, renamed: bool) -> str | None:
        """Judge the link `name`. `renamed`: by us, which changed its ctime. Raises FileNotFoundError when it does not exist."""
        facts = os.stat(name, dir_fd=directory, follow_symlinks=False)
        found = difference(entry, facts, self.device)
        if found is not None:
            return found
        if self.ctime and not renamed and entry.links <= 1 and facts.st_ctime_ns != entry.ctime_ns:
            return TOUCHED
        if self.ctime and (facts.st_uid, facts.st_gid) != (entry.uid, entry.gid):
            return TOUCHED
        return None if os.readlink(name, dir_fd=directory) == entry.link else CHANGED

    def is_written(self, handle: int) -> bool:
        """Return whether a process has an open file open for writing. If not, new writers wait until `handle` is closed."""
        return handle != NO_HANDLE and self._is_local and handles.lease(handle) is False

    def by_content(self, handle: int, entry: Entry) -> str | None:
        """Judge an open file by its content and by the attributes that the archive does not hold."""
        assert self._again is not None
        mtime_ns = os.fstat(handle).st_mtime_ns
        since = self._again.rest(mtime_ns, self._stop)
        found = self._same_content(handle, entry, self._again)
        if found is None and not clocks.is_past(mtime_ns, since) and clocks.could_repeat(mtime_ns, since, self._again.look()):
            found = UNSURE
        return found or self.attributes(handle, entry)

    def attributes(self, handle: int, entry: Entry) -> str | None:
        """Judge what only the sidecar keeps of an open file or directory: mode, owner, extended attributes and ACLs."""
        facts = os.fstat(handle)
        # A mount that invents ctime also invents mode and owner, perhaps differently from the mount that was copied from.
        if self.ctime and (stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid) != (entry.mode, entry.uid, entry.gid):
            return TOUCHED
        try:
            return None if tree_scan.attributes(handle) == (entry.xattrs or {}) else TOUCHED
        except OSError as exc:
            if exc.errno not in tree_scan.DENIED:
                raise
            return f"attributes could not be read: {(exc.strerror or str(exc)).lower()}"

    def _same_content(self, handle: int, entry: Entry, again: Rereading) -> str | None:
        """Return None if the open file has the archived content and was not touched while we read it, else the reason."""
        for _ in range(_READS):
            before = os.fstat(handle)
            if entry.sha256 is None or before.st_size != entry.size:
                return CHANGED
            digest, offset = hashlib.sha256(), 0
            try:
                while chunk := os.pread(handle, _CHUNK, offset):
                    self._stop()
                    digest.update(chunk)
                    offset += len(chunk)
                    again.reading(entry, offset)
            except OSError as exc:
                if exc.errno not in _UNREADABLE:
                    raise
                again.check_place()
                return f"could not be read: {(exc.strerror or str(exc)).lower()}"
            if digest.digest() != entry.sha256:
                return CHANGED
            handles.write_back(handle)
            after = os.fstat(handle)
            if _times(after) == _times(before):
                return None
        return CHANGED


class Emptying:
    """One run over one open folder. Any process may repeat it after any kind of end. Not thread-safe.

    prefix: how this job's private names begin; no other names begin so. clock: one of our open files or directories on the same
    file system, which is touched to read the time; if that is not allowed, the folder itself is touched. Subclasses extend
    `begin`.
    """

    def __init__(self, folder: int, manifest: Manifest, prefix: bytes, callbacks: Callbacks, clock: int) -> None:
        self.call = callbacks
        self.folder = folder
        self.entries = manifest.entries
        self.plan = plan_of(manifest)
        self._clock = clock
        rereading = Rereading(manifest.clock, self._look, callbacks.our_clock, self._reading, self.check_place)
        self.proof = Proof(folder, callbacks.stop, rereading)
        self.prefix = prefix
        self.private_name = re.compile(re.escape(prefix) + rb"(\d{1,9})-[0-9a-f]{16}")
        self.begun = False
        self.done = 0
        self.files = 0
        self.bytes = 0
        self.reasons: dict[bytes, str] = {}  # path -> why it stays
        self.conflicts: set[bytes] = set()  # paths of private names that this run could not put back
        self.kept_directories: dict[bytes, str] = {}  # path -> why it stays, though it may be empty

    def begin(self) -> None:
        """Record in the database that changes begin, before the first change."""
        self.call.before_first_unlink()
        self.call.fault_point("deletion.begun")
        self.begun = True

    def check_place(self) -> None:
        """Raise an error that ends the run when the folder is no longer where it was."""

    def is_own(self, path: bytes) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether we put an existing file there."""
        return False

    def empty_all(self) -> None:
        """Remove every file and link that is still what was archived."""
        for at in reversed(self.plan.directories):
            self._empty(self.entries[at].path)

    def remove_directories(self) -> None:
        """Remove empty directories bottom-up. The folder itself stays."""
        for at in reversed(self.plan.directories[1:]):
            self._remove_directory(self.entries[at])

    # Files and links

    def _empty(self, path: bytes) -> None:
        """Remove the manifest's entries directly in one directory. First settle what an interrupted run left there."""
        self.check_place()
        with visit(self.folder, path) as directory:
            if directory is not None:
                self._settle(directory, path)
            for index in self.plan.children.get(path, []):
                self.call.stop()
                if directory is None:
                    self._log(self.entries[index], GONE)
                else:
                    self._remove(directory, index)
                self._step()

    def _remove(self, directory: int, index: int) -> None:
        entry = self.entries[index]
        with ExitStack() as stack:
            reason, handle = check(stack, self.proof, directory, entry)
            if reason is None and not self.begun:
                self.begin()
                reason, handle = check(stack, self.proof, directory, entry)  # begin() took some time
            if reason is not None:
                self._keep(entry, reason)
                return
            private = self._private(index)
            try:
                os.rename(_name(entry), private, src_dir_fd=directory, dst_dir_fd=directory)
            except FileNotFoundError:
                self._log(entry, GONE)
                return
            except OSError as exc:
                self._keep(entry, entry_only(exc))
                return
            self.call.fault_point("deletion.renamed")
            self._finish(directory, private, entry, lambda stack: self._still(stack, directory, private, entry, handle))

    def _still(self, stack: ExitStack, directory: int, private: bytes, entry: Entry, handle: int) -> Judgement:
        """Judge whether the private name holds the judged object, and whether it was not written since."""
        if entry.type == "link":
            return self.proof.of_link(directory, private, entry, renamed=True), NO_HANDLE
        stack.callback(handles.end_lease, handle)
        if self.proof.is_written(handle):
            return WRITTEN, handle
        here, judged = os.stat(private, dir_fd=directory, follow_symlinks=False), os.fstat(handle)
        is_same = os.path.samestat(here, judged) and difference(entry, judged, self.proof.device) is None
        return self.proof.attributes(handle, entry) if is_same else CHANGED, handle

    def _finish(self, directory: int, private: bytes, entry: Entry, judge: Callable[[ExitStack], Judgement]) -> None:
        """Unlink a proven private name, else put it back."""
        try:
            with ExitStack() as stack:
                reason, handle = judge(stack)
                if reason is None:
                    self.call.fault_point("deletion.checked")
                    reason = WRITTEN if self.proof.is_written(handle) else None
                if reason is None:
                    os.unlink(private, dir_fd=directory)
        except FileNotFoundError:
            self._log(entry, "taken over by another run")
            return
        except PermanentError:
            reason = REPLACED
        except OSError as exc:
            reason = entry_only(exc)
        if reason is not None:
            self._restore(directory, private, entry, reason)
            return
        self.files += 1
        self.bytes += entry.size if entry.type == "file" else 0
        self._log(entry, "deleted")
        self.call.fault_point("deletion.unlinked")

    def _restore(self, directory: int, private: bytes, entry: Entry, reason: str) -> None:
        """Rename a private name back to its old name. Never replace a file that now has that name: then both stay."""
        try:
            handles.rename_noreplace(directory, private, directory, _name(entry))
        except FileNotFoundError:
            self._log(entry, "taken over by another run")
        except OSError as exc:
            entry_only(exc)
            path = _join(_parent(entry.path), private)
            self.conflicts.add(path)
            self.reasons[path] = f"{reason}; was {printable(entry.path)}, a name that exists again"
            self._log(entry, f"kept as {printable(private)}: {reason}")
        else:
            self._keep(entry, reason)
        self.call.fault_point("deletion.restored")

    def _settle(self, directory: int, path: bytes) -> None:
        """Take over what other runs left under private names. The content decides what happens to it."""
        for name in sorted(os.fsencode(name) for name in os.listdir(directory)):
            found = self.private_name.fullmatch(name)
            index = int(found[1]) if found else 0
            if not 0 < index < len(self.entries) or _join(path, name) in self.conflicts:
                continue
            entry = self.entries[index]
            if entry.type == "directory" or _parent(entry.path) != path:
                continue  # not one of our names
            self.call.stop()
            if not self.begun:
                self.begin()
            self._take_over(directory, name, index)

    def _take_over(self, directory: int, name: bytes, index: int) -> None:
        entry, private = self.entries[index], self._private(index)
        try:
            os.rename(name, private, src_dir_fd=directory, dst_dir_fd=directory)
        except FileNotFoundError:
            return  # the name's own run, or another one, was faster
        except OSError as exc:
            self.reasons[_join(_parent(entry.path), name)] = entry_only(exc)
            return
        self.call.fault_point("deletion.taken_over")
        self._finish(directory, private, entry, lambda stack: self._archived(stack, directory, private, entry))

    def _archived(self, stack: ExitStack, directory: int, private: bytes, entry: Entry) -> Judgement:
        """Judge whether the content under a private name is the archived content, and stays so."""
        if entry.type == "link":
            facts = os.stat(private, dir_fd=directory, follow_symlinks=False)
            is_same = stat.S_ISLNK(facts.st_mode) and os.readlink(private, dir_fd=directory) == entry.link
            return None if is_same else CHANGED, NO_HANDLE
        handle = stack.enter_context(handles.file(directory, private))
        if self.proof.is_written(handle):
            return WRITTEN, handle
        return self.proof.by_content(handle, entry), handle

    def _private(self, index: int) -> bytes:
        return self.prefix + f"{index}-{secrets.token_hex(8)}".encode()

    # Directories, and what is left

    def _remove_directory(self, entry: Entry) -> None:
        self.call.stop()
        self.check_place()
        with visit(self.folder, _parent(entry.path)) as parent:
            facts = None if parent is None else handles.lstat(parent, _name(entry))
            if parent is None or facts is None:
                self._log(entry, GONE)
            elif not stat.S_ISDIR(facts.st_mode) or (facts.st_dev, facts.st_ino) != (self.proof.device, entry.inode):
                self._log(entry, f"kept: {REPLACED}")
            elif reason := self._changed_directory(parent, entry):
                self.kept_directories[entry.path] = reason
                self._log(entry, f"kept: {reason}")
            else:
                try:
                    os.rmdir(_name(entry), dir_fd=parent)
                    self._log(entry, "deleted")
                except FileNotFoundError:
                    self._log(entry, GONE)
                except OSError as exc:
                    reason = entry_only(exc)
                    self._log(entry, "kept: not empty" if exc.errno in {errno.ENOTEMPTY, errno.EEXIST} else f"kept: {reason}")
        self.call.fault_point("deletion.directory")
        self._step()

    def _changed_directory(self, parent: int, entry: Entry) -> str | None:
        """Return why a directory stays that may be empty: it differs from the record in the archive's sidecar."""
        try:
            with handles.directory(parent, _name(entry)) as directory:
                return self.proof.attributes(directory, entry)
        except OSError as exc:
            return None if exc.errno in NO_DIRECTORY else entry_only(exc)  # no directory: its removal reports that

    def account(self) -> list[Kept]:
        """Return every file that is there now, and every directory kept for its own attributes, with the reason.

        The folder itself is read, so a resumed run returns the same.
        """
        kept: list[Kept] = []
        for path, trouble in files_below(self.folder, self._settle):
            if self.is_own(path):
                continue
            kept.append(Kept(path, trouble or self.reasons.get(path, NEW)))
        kept.extend(Kept(path + b"/", reason) for path, reason in self.kept_directories.items())
        return sorted(kept, key=lambda item: item.path)

    def _keep(self, entry: Entry, reason: str) -> None:
        if reason == GONE:
            self._log(entry, GONE)
            return
        self.reasons[entry.path] = reason
        self._log(entry, f"kept: {reason}")

    def _log(self, entry: Entry, result: str) -> None:
        self.call.log(f"delete_{entry.type}", printable(entry.path), entry.size, result)

    def _step(self) -> None:
        self.done += 1
        self.call.progress(self.done, len(self.entries) - 1, None)

    def _reading(self, entry: Entry, done: int) -> None:
        self.call.progress(self.done + done / max(entry.size, done, 1), len(self.entries) - 1, printable(entry.path))

    def _look(self, before: Stamp | None) -> Stamp:
        try:
            return self.call.look(self._clock, before)
        except OSError as exc:
            if exc.errno not in tree_scan.DENIED | {errno.EROFS}:
                raise
        return self.call.look(self.folder, before)


def plan_of(manifest: Manifest) -> Plan:
    """Build the plan. Raises PermanentError when the manifest is not a tree: a damaged list deletes nothing."""
    plan = Plan([], {})
    known: set[bytes] = set()
    for index, entry in enumerate(manifest.entries):
        handles.split(entry.path)
        fits = _parent(entry.path) in known and entry.path != b"" if index else entry.path == b"" and entry.type == "directory"
        if not fits:
            raise PermanentError(f"The manifest is damaged at {printable(entry.path)!r}. Nothing was deleted.")
        if entry.type == "directory":
            plan.directories.append(index)
            known.add(entry.path)
        else:
            plan.children.setdefault(_parent(entry.path), []).append(index)
    if not plan.directories:
        raise PermanentError("The manifest is empty. Nothing was deleted.")
    return plan


def check(stack: ExitStack, proof: Proof, directory: int, entry: Entry) -> Judgement:
    """Judge the object under the entry's name. Its handle stays open in `stack`."""
    try:
        if entry.type == "link":
            return proof.of_link(directory, _name(entry), entry, renamed=False), NO_HANDLE
        handle = stack.enter_context(handles.file(directory, _name(entry)))
        return proof.of_file(handle, entry), handle
    except FileNotFoundError:
        return GONE, NO_HANDLE
    except PermanentError:
        return REPLACED, NO_HANDLE
    except OSError as exc:
        return entry_only(exc), NO_HANDLE


@contextmanager
def visit(folder: int, path: bytes) -> Iterator[int | None]:
    """Open a directory of the manifest; None when it is missing, replaced, unreadable to us or on another device."""
    with ExitStack() as stack:
        handle: int | None = None
        try:
            handle = stack.enter_context(handles.directory(folder, path))
            if not mount.same_device(folder, handle):
                handle = None
        except OSError as exc:
            if exc.errno not in NO_DIRECTORY:
                entry_only(exc)
        yield handle


def files_below(
    folder: int, before: Callable[[int, bytes], None] = lambda _directory, _path: None
) -> Iterator[tuple[bytes, str | None]]:
    """Yield (path, None) for everything except directories, and (path, reason) for a directory that could not be read.

    before(directory, path) is called ahead of each listing. Only one directory is open at a time.
    """
    pending = [b""]
    while pending:
        path = pending.pop()
        try:
            with handles.directory(folder, path) as directory:
                if not mount.same_device(folder, directory):
                    yield path, "another file system is mounted here"
                    continue
                before(directory, path)
                with os.scandir(directory) as listing:
                    found = [(_join(path, os.fsencode(item.name)), item.is_dir(follow_symlinks=False)) for item in listing]
        except OSError as exc:
            if exc.errno not in NO_DIRECTORY:
                yield path, entry_only(exc)
            continue
        pending.extend(name for name, is_directory in found if is_directory)
        yield from ((name, None) for name, is_directory in found if not is_directory)


def entry_only(exc: OSError) -> str:
    """Return why one entry stays. Raise the failure again when it does not concern only one entry."""
    if exc.errno in _NO_FILE:
        return REPLACED
    if exc.errno in _ENTRY_ONLY:
        return f"could not be deleted: {(exc.strerror or str(exc)).lower()}"
    raise exc


def _type(facts: os.stat_result) -> EntryType | None:
    if stat.S_ISREG(facts.st_mode):
        return "file"
    if stat.S_ISLNK(facts.st_mode):
        return "link"
    return "directory" if stat.S_ISDIR(facts.st_mode) else None


def _times(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _name(entry: Entry) -> bytes:
    return entry.path.rpartition(b"/")[2]


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _join(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name
