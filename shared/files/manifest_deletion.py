"""Empty a folder by its manifest, entry by entry: never a byte that is not the very one that was archived.

How one entry goes (`name` is what the user sees, `private` is `<the job's prefix><manifest index>-<token>`):

1. `name` is opened without following links; type, device, inode, size, mtime and ctime are what was copied. Where these prove nothing,
   the content is hashed again instead, and mode, owner, attributes and ACLs are compared with the manifest. They prove nothing where
   - the file system does not stamp every write itself (SMB, FUSE, cluster file systems whose clients stamp, tmpfs for mapped writes);
   - our own unlink of a sibling hard link moved ctime;
   - the file was changed shortly before the copy, so that a later write may carry the same times (shared/files/clocks.py), or the clocks
     have moved apart since, or the manifest does not say when it was read.
   A hash proves the past, so the file must have been at rest: where a write now could be stamped with the time that the file has, the
   run waits some seconds. What cannot be read stays.
2. `name` is renamed to `private`. From here nobody can open it by the name they know.
3. Nobody has it open for writing, and who opens it so has to wait from now on (a lease, where the kernel gives one: see below).
   What stands under `private` is the inode that was checked, its size and mtime, mode, owner, attributes and ACLs still are, nobody waits
   to write: it is unlinked. Else it is renamed back without replacing; if `name` exists again, both stay and are reported.

The token is random and used once. That is why two runs of one job (a new owner, and an old one that does not know it is
fenced) cannot hurt: a private name holds only what its own run put there, and another run takes an entry over by renaming it to
a name of its own, which only one can win. The loser finds nothing and goes on. The rename to `private` is a plain one: no one
else can know that name, and where a file system lacks RENAME_NOREPLACE the substitute (link, then unlink `name`) could unlink a
file that took the name in between.

Killed at any instruction, and run again: an entry under a private name is taken over, hashed, and unlinked or put back; an unlinked
one counts as gone; one that was put back is judged like any other (its ctime has moved: it stays). Directories are empty or gone; one
whose mode, owner, attributes or ACLs are not the archived ones stays and is reported.

What this cannot see: where there are no leases (another machine's files, over NFS or SMB; files of another account than ours, unless we
are root), a writer that opened the file before step 2 and writes in the instant between the check and the unlink of step 3, or later.
No call of the kernel unlinks on condition. Nor a clock that was set back after the copy and forward again before the deletion.
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

# File systems whose writers are all known to this kernel: a lease that it refuses means that somebody writes.
_LOCAL = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"})
# File systems that keep ctime themselves. Elsewhere (SMB, exFAT, FUSE, 9p, ...) it may be made up: there content is hashed again.
_KEEPS_CTIME = _LOCAL | {"ceph", "gpfs", "lustre", "nfs", "nfs4"}
# Of these: file systems on which a write may leave the times as they are. A node of a cluster stamps with its own clock, and the later time
# counts; a write through a memory map of a file in memory is not stamped at all.
_MISSES_WRITES = frozenset({"ceph", "gpfs", "lustre", "ramfs", "tmpfs"})
# Failures that concern one entry: it stays. Any other (EIO, ESTALE, EROFS, ...) is the NAS's: the run ends and comes back.
_ENTRY_ONLY = frozenset(
    {errno.EACCES, errno.EPERM, errno.EBUSY, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST}
    | {errno.ETXTBSY, errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENAMETOOLONG, errno.EMLINK, errno.EXDEV}
)
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOTDIR, errno.EISDIR})  # opening something else as a file
NO_DIRECTORY = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
# Failures to read one file. Others, and these when the NAS is away, end the run.
_UNREADABLE = frozenset({errno.EACCES, errno.EPERM, errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.EREMOTEIO, errno.EILSEQ})
_CHUNK = 1 << 20  # bytes hashed between two calls of `stop`
_READS = 3  # how often a file is read again that was touched while it was read
_REST_SECONDS = 10.0  # more than the coarsest unit and its margins: a clock that stands still is not waited for
_LOOK_SECONDS = 0.05
NO_HANDLE = -1
Judgement = tuple[str | None, int]
"""None, or why an entry stays; and its open handle, NO_HANDLE for a link."""


class Kept(msgspec.Struct, frozen=True):
    """Something that stays in the source: path relative to the folder, and why as a short phrase."""

    path: bytes
    reason: str


class Callbacks(msgspec.Struct, frozen=True):
    """How the engine reaches the database. Each may raise, which ends the run at a safe point.

    before_first_unlink: commits `first_unlink_at` (keeping an earlier one); called at least once per run that deletes.
    log(action, path, size, result): one per deletion attempt; path is relative and printable, size in bytes.
    progress(done, total, reading): manifest entries; reading: the printable path of a file that is read again just now, and its part of
    `done` is a fraction. stop: between entries and while hashing; raises on a lost lease or shutdown. our_clock: the database's time,
    nanoseconds since 1970. look: asks a file system for its time (`clocks.look`). fault_point: named instants at which tests kill the
    process.
    """

    before_first_unlink: Callable[[], None]
    log: Callable[[str, str, int, str], None]
    progress: Callable[[float, int, str | None], None]
    stop: Callable[[], None]
    our_clock: Callable[[], int]
    look: Callable[[int, Stamp | None], Stamp] = clocks.look
    fault_point: Callable[[str], None] = lambda _point: None


class Plan(msgspec.Struct, frozen=True):
    """The manifest by directory: indexes of directories, parents first, and of the files and links in each."""

    directories: list[int]
    children: dict[bytes, list[int]]


def difference(entry: Entry, facts: os.stat_result, device: int) -> str | None:
    """Pure. Why this is not what was copied, ctime apart; None when it is."""
    if _type(facts) != entry.type or facts.st_dev != device or facts.st_ino != entry.inode:
        return REPLACED
    if facts.st_mtime_ns != entry.mtime_ns or facts.st_size != entry.size:
        return CHANGED
    return None


def keeps_ctime(handle: int) -> bool:
    """Whether the file system below `handle` is known to keep ctime; False when in doubt."""
    return _file_system(handle) in _KEEPS_CTIME


def stamps_writes(handle: int) -> bool:
    """Whether the file system below `handle` is known to move ctime at every write, by its own clock; False when in doubt."""
    return keeps_ctime(handle) and _file_system(handle) not in _MISSES_WRITES


def _file_system(handle: int) -> str:
    """What kind it is, as the kernel calls it; empty when in doubt."""
    try:
        lines = Path(f"/proc/self/fdinfo/{handle}").read_text().splitlines()
        mount_id = next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
        with Path("/proc/self/mountinfo").open(errors="surrogateescape") as mounts:
            return next(line.partition(" - ")[2].split()[0] for line in mounts if line.split(maxsplit=1)[0] == mount_id)
    except (OSError, StopIteration, IndexError):
        return ""


class Rereading:
    """How a run reads files again whose times prove nothing. Not for several threads.

    copied: the clock at the copy. look: the file system's time now, given the look before. our_clock: as in `Callbacks`.
    reading(entry, bytes done): tells of the reading. check_place: raises where a failed reading is the NAS's failure, not the file's.
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
        """Whether the content has to be read where the times are the copied ones."""
        if self._now is None:
            now = self.look()
            self._now = Clock(now.server_ns, self._our_clock(), now.granularity_ns)
        return clocks.must_hash(entry, self._copied, self._now)

    def look(self) -> Stamp:
        """The file system's time now."""
        self.latest = self._look(self.latest)
        return self.latest

    def rest(self, mtime_ns: int, stop: Callable[[], None]) -> Stamp:
        """Wait, for some seconds at most, until a write could not be stamped with this time; return the latest look at the clock."""
        if self.latest is not None and clocks.is_past(mtime_ns, self.latest):
            return self.latest
        now, end = self.look(), time.monotonic() + _REST_SECONDS
        while clocks.could_repeat(mtime_ns, now, now) and time.monotonic() < end:
            stop()
            time.sleep(_LOOK_SECONDS)
            now = self.look()
        return now


class Proof:
    """Is this still what was copied? Answers None for yes, else why not.

    Without `rereading`, what only the content could prove is taken on trust: for a first look, which deletes nothing.
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
        """Judge the link `name` (`renamed`: by us, which moved its ctime). Raises FileNotFoundError when there is nothing."""
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
        """Whether somebody has an open file open for writing; else whoever wants to waits until `handle` is closed."""
        return handle != NO_HANDLE and self._is_local and handles.lease(handle) is False

    def by_content(self, handle: int, entry: Entry) -> str | None:
        """Judge an open file by its content, and by the attributes that the archive does not hold."""
        assert self._again is not None
        mtime_ns = os.fstat(handle).st_mtime_ns
        since = self._again.rest(mtime_ns, self._stop)
        found = self._same_content(handle, entry, self._again)
        if found is None and not clocks.is_past(mtime_ns, since) and clocks.could_repeat(mtime_ns, since, self._again.look()):
            found = UNSURE
        return found or self.attributes(handle, entry)

    def attributes(self, handle: int, entry: Entry) -> str | None:
        """Judge what the sidecar alone keeps of an open file or directory: mode, owner, extended attributes and ACLs."""
        facts = os.fstat(handle)
        # A mount that makes ctime up makes mode and owner up as well, perhaps in another way than the mount that was copied from.
        if self.ctime and (stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid) != (entry.mode, entry.uid, entry.gid):
            return TOUCHED
        try:
            return None if tree_scan.attributes(handle) == (entry.xattrs or {}) else TOUCHED
        except OSError as exc:
            if exc.errno not in tree_scan.DENIED:
                raise
            return f"attributes could not be read: {(exc.strerror or str(exc)).lower()}"

    def _same_content(self, handle: int, entry: Entry, again: Rereading) -> str | None:
        """Whether the open file has the archived content now, and nobody touched it while we read."""
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
    """One run over one open folder; may be run again after any end, by any process. Not for several threads.

    prefix: how this job's private names begin; nobody else's do. clock: an open file or directory of ours on the same file system, which is
    touched to learn the time; where we may not, the folder itself is. Subclasses say what else belongs to a beginning.
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
        """Before the first change: the database knows."""
        self.call.before_first_unlink()
        self.call.fault_point("deletion.begun")
        self.begun = True

    def check_place(self) -> None:
        """Raises what ends the run when the folder is not where it was."""

    def is_own(self, path: bytes) -> bool:  # noqa: ARG002 - for subclasses
        """Whether a file that is there was put there by us."""
        return False

    def empty_all(self) -> None:
        """Remove every file and link that is still what was archived."""
        for at in reversed(self.plan.directories):
            self._empty(self.entries[at].path)

    def remove_directories(self) -> None:
        """Bottom-up, only when empty; the folder itself stays."""
        for at in reversed(self.plan.directories[1:]):
            self._remove_directory(self.entries[at])

    # Files and links

    def _empty(self, path: bytes) -> None:
        """Remove what the manifest names directly in one directory, first of all what an interrupted run left there."""
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
                reason, handle = check(stack, self.proof, directory, entry)  # that took its time
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
        """Whether the private name holds the very thing that was judged, unwritten since."""
        if entry.type == "link":
            return self.proof.of_link(directory, private, entry, renamed=True), NO_HANDLE
        stack.callback(handles.end_lease, handle)
        if self.proof.is_written(handle):
            return WRITTEN, handle
        here, judged = os.stat(private, dir_fd=directory, follow_symlinks=False), os.fstat(handle)
        is_same = os.path.samestat(here, judged) and difference(entry, judged, self.proof.device) is None
        return self.proof.attributes(handle, entry) if is_same else CHANGED, handle

    def _finish(self, directory: int, private: bytes, entry: Entry, judge: Callable[[ExitStack], Judgement]) -> None:
        """Unlink a private name that is proven, else put it back."""
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
        """Give a private name its old name back, never replacing what has that name now: then both stay."""
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
        """Take over what other runs left under private names: their content decides."""
        for name in sorted(os.fsencode(name) for name in os.listdir(directory)):
            found = self.private_name.fullmatch(name)
            index = int(found[1]) if found else 0
            if not 0 < index < len(self.entries) or _join(path, name) in self.conflicts:
                continue
            entry = self.entries[index]
            if entry.type == "directory" or _parent(entry.path) != path:
                continue  # not a name we gave
            self.call.stop()
            if not self.begun:
                self.begin()
            self._take_over(directory, name, index)

    def _take_over(self, directory: int, name: bytes, index: int) -> None:
        entry, private = self.entries[index], self._private(index)
        try:
            os.rename(name, private, src_dir_fd=directory, dst_dir_fd=directory)
        except FileNotFoundError:
            return  # its own run, or another, was faster
        except OSError as exc:
            self.reasons[_join(_parent(entry.path), name)] = entry_only(exc)
            return
        self.call.fault_point("deletion.taken_over")
        self._finish(directory, private, entry, lambda stack: self._archived(stack, directory, private, entry))

    def _archived(self, stack: ExitStack, directory: int, private: bytes, entry: Entry) -> Judgement:
        """Whether the content under a private name is the archived one, and stays so."""
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
        """Why a directory stays that may be empty: the archive's sidecar does not hold what it is now."""
        try:
            with handles.directory(parent, _name(entry)) as directory:
                return self.proof.attributes(directory, entry)
        except OSError as exc:
            return None if exc.errno in NO_DIRECTORY else entry_only(exc)  # no directory: its removal says so

    def account(self) -> list[Kept]:
        """Every file that is there now, and every directory kept for its own sake, with the reason.

        The folder itself is asked, so a resumed run says the same.
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
    """Raises PermanentError when the manifest is no tree: nothing is deleted by a damaged list."""
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
    """Judge what stands under the entry's name; the handle is open in `stack`."""
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
    """Open a directory of the manifest; None when it is not there, is something else now, is closed to us or on another device."""
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
    """Yield (path, None) for all that is no directory, and (path, reason) for a directory that could not be looked into.

    before(directory, path) is called ahead of each listing. One directory is open at a time.
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
    """Why one entry stays; raises the failure again when it is not about one entry."""
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
