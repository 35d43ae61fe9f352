"""Copy a folder to staging and compute the digests that later permit the deletion.

The default strategy reads every byte once and computes SHA-256 and CRC-32 in that pass. This is faster than rsync or cp followed
by a second read for the digests. `tiered` chooses a tool by the folder's size and computes the digests from the copy afterwards.
Either way the source is checked again when the copy ends, and any difference raises SourceInUse. The caller decides how often to
retry, each time with a new scan and a new target.

The copy serves 7-Zip only: the manifest holds owners, extended attributes and set-id bits, the copy does not.
"""

import errno
import hashlib
import os
import re
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NoReturn, Protocol

import msgspec

from shared import units
from shared.errors import ArchiverError, ConfigurationError, Operation, PermanentError, TransientError, Waiting
from shared.files import handles
from shared.files.children import Children, Outcome
from shared.files.findings import WARNINGS, Finding, SourceInUse, named
from shared.files.manifest import Entry, changes, printable
from shared.files.position import Position
from shared.files.tree_scan import DENIED, MOVED, scan
from shared.files.trees import Stop

Strategy = Literal["auto", "tiered"]
Tool = Literal["copy2", "rsync", "dd", "parallel"]
Progress = Callable[[int], None]  # bytes copied so far, out of the sum of all file sizes

BLOCK = 1 << 20
# Two big files at once hide the cost of SHA-256 (1,469 -> 2,888 MB/s). Threads make small files slower (measured).
LARGE_FILE = 64 << 20
LARGE_AT_ONCE = 2
PARALLEL = 4
_SAFE_MODE = 0o1777  # a copy that may belong to root gets no set-id bits
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_GIB = 1 << 30
_RSYNC_BYTES = re.compile(rb"\s*([\d,]+)\s+\d+%")
_TOOL_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}


class Tiers(msgspec.Struct, frozen=True):
    """The folder sizes, in GiB, at which `tiered` changes its tool.

    Below `small` it uses copy2, below `medium` rsync, below `large` dd, and above that parallel copies.
    """

    small: float = 1
    medium: float = 100
    large: float = 1_000

    def tool(self, total_bytes: int) -> Tool:
        if total_bytes < self.small * _GIB:
            return "copy2"
        if total_bytes < self.medium * _GIB:
            return "rsync"
        return "dd" if total_bytes < self.large * _GIB else "parallel"


class _Digest(msgspec.Struct, frozen=True, gc=False):
    size: int
    crc32: int
    sha256: bytes


def require_tools(strategy: Strategy) -> None:
    """Check at service start that the strategy's programs exist. Raises ConfigurationError when one is missing."""
    missing = [tool for tool in ("rsync", "dd") if shutil.which(tool) is None] if strategy == "tiered" else []
    if missing:
        programs = " and ".join(missing)
        raise ConfigurationError(
            f"COPY_STRATEGY=tiered needs {programs}: install it, or set COPY_STRATEGY=auto, which needs nothing."
        )


def copy_tree(
    source: int,
    target: Path,
    entries: list[Entry],
    *,
    progress: Progress,
    stop: Stop,
    strategy: Strategy = "auto",
    tiers: Tiers | None = None,
    children: Children | None = None,
) -> list[Entry]:
    """Copy the open directory `source` to `target`. `entries` come from an earlier walk of the source.

    `target` must not exist yet, but its parent must (mode 0700). Returns the entries with the digests of every file and the time
    when it was read. Several threads call `stop` and `progress`; the value passed to `progress` never decreases. Raises
    SourceInUse when the source differs from `entries`, before or after the copy; Waiting when the disk is full; TransientError
    when a disk or the NAS fails; and what `stop` raises. The caller removes a partial copy with `remove_tree`.
    """
    copied = list(entries)
    job = _Copy(source, copied, _Meter(progress), stop)
    tool = "ourselves" if strategy == "auto" else (tiers or Tiers()).tool(sum(e.size for e in entries if e.type == "file"))
    with _explained(target), handles.root(target.parent) as parent:
        name = os.fsencode(target.name)
        os.mkdir(name, 0o700, dir_fd=parent)
        with handles.directory(parent, name) as copy:
            if tool == "ourselves":
                job.by_ourselves(copy)
            else:
                job.by_tool(tool, copy, children or Children())
            _compare_source(source, entries, stop)
            if tool != "ourselves":
                _read_back(copy, copied, stop)
            _finish_directories(copy, entries, stop)
    return copied


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Explain an OSError of the staging. Errors of the source are explained where it is read."""
    try:
        yield
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise Waiting(f"Copying stopped: no space left for {target}.") from exc
        raise TransientError(f"The copy cannot be written to {target}: {exc.strerror or exc}.", Operation.COMPRESSION) from exc


class _Meter:
    """Adds up the bytes that several threads have copied. The reported sum never decreases."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._progress(self._done)

    def at_least(self, done: int) -> None:
        with self._lock:
            self._done = max(done, self._done)
            self._progress(self._done)


class _Method(Protocol):
    """Copies the content of one open file into another. Returns its digests if it computes them."""

    def __call__(self, source: int, target: int, entry: Entry, stop: Stop) -> _Digest | None: ...


class _OtherFailed(Exception):  # noqa: N818 - no error of its own: another thread failed first
    pass


class _Copy:
    """One pass over one source. `entries` get their digests if the pass computes them."""

    def __init__(self, source: int, entries: list[Entry], meter: _Meter, stop: Stop) -> None:
        self._source = source
        self._entries = entries
        self._meter = meter
        self._stop = stop

    def by_ourselves(self, copy: int) -> None:
        large = []
        with Position(self._source) as source, Position(copy) as target:
            for index, entry in enumerate(self._entries):
                self._stop()
                if entry.type != "file":
                    _make(target, entry)
                elif entry.size < LARGE_FILE:
                    self._file(source, target, index, self._digesting, self._stop)
                else:
                    large.append(index)
        self._threaded(copy, large, self._digesting, LARGE_AT_ONCE)

    def by_tool(self, tool: Tool, copy: int, children: Children) -> None:
        if tool == "rsync":
            self._rsync(copy, children)
            return
        files = []
        with Position(copy) as target:
            for index, entry in enumerate(self._entries):
                self._stop()
                if entry.type == "file":
                    files.append(index)
                else:
                    _make(target, entry)
        method = _dd(self._meter, children) if tool == "dd" else self._plain
        self._threaded(copy, files, method, PARALLEL if tool == "parallel" else 1)

    def _threaded(self, copy: int, indexes: list[int], method: _Method, threads: int) -> None:
        """Copy the files of `indexes`, several at a time. The first failure stops all threads and is raised."""
        todo, lock, failed = iter(indexes), threading.Lock(), threading.Event()

        def stop() -> None:
            self._stop()
            if failed.is_set():
                raise _OtherFailed

        def work() -> None:
            try:
                with Position(self._source) as source, Position(copy) as target:
                    while True:
                        stop()
                        with lock:
                            index = next(todo, None)
                        if index is None:
                            return
                        self._file(source, target, index, method, stop)
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(threads) as pool:
            errors = [error for f in [pool.submit(work) for _ in range(threads)] if (error := f.exception())]
        for error in sorted(errors, key=lambda e: isinstance(e, _OtherFailed)):
            raise error

    def _file(self, source: Position, target: Position, index: int, method: _Method, stop: Stop) -> None:
        """Copy one file and check it before and after. Raises SourceInUse when it is not what the walk saw."""
        entry = self._entries[index]
        parent, _, name = entry.path.rpartition(b"/")
        with _reading(source, entry) as reading:
            handles.write_back(reading)
            began = time.time_ns()
            _same(entry, reading)
            with _new_file(target.at(parent), name, entry) as writing:
                digest = method(reading, writing, entry, stop)
                size = os.fstat(writing).st_size if digest is None else digest.size
            _same(entry, reading)
            ended = time.time_ns()
        if size != entry.size:  # although the source has not changed
            message = f"The copy of {printable(entry.path)} has {units.exact_size(size)} instead of {entry.size:,}."
            raise TransientError(message, Operation.COMPRESSION)
        entry = _read(entry, began, ended)
        self._entries[index] = entry if digest is None else _with(entry, digest)

    def _digesting(self, source: int, target: int, entry: Entry, stop: Stop) -> _Digest:
        return _digest(source, entry, stop, lambda block: self._write(target, block))

    def _plain(self, source: int, target: int, entry: Entry, stop: Stop) -> None:
        for block in _blocks(source, entry, stop):
            self._write(target, block)

    def _write(self, target: int, block: bytes) -> None:
        _write_all(target, block)
        self._meter.add(len(block))

    def _rsync(self, copy: int, children: Children) -> None:
        rest = b""

        def hear(chunk: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + chunk).split(b"\r")
            for line in lines:
                if match := _RSYNC_BYTES.match(line):
                    self._meter.at_least(int(match[1].replace(b",", b"")))

        chmod = "--chmod=ug-s" if os.geteuid() == 0 else "--chmod=ug-s,u+rX"
        files = [index for index, entry in enumerate(self._entries) if entry.type == "file"]
        with Position(self._source) as source:
            for index in files:
                self._stop()
                with _reading(source, self._entries[index]) as reading:
                    handles.write_back(reading)
        argv = [_program("rsync"), "-a", "--links", "--no-owner", "--no-group", "--no-devices", "--no-specials", chmod,
                "--info=progress2", "--outbuf=N", "--", f"/proc/self/fd/{self._source}/", f"/proc/self/fd/{copy}/"]  # fmt: skip
        began = time.time_ns()
        outcome = children.run_blocking(argv, stop=self._stop, on_stdout=hear, env=_TOOL_ENVIRONMENT, pass_fds=(self._source, copy))
        if outcome.returncode != 0:
            _compare_source(self._source, self._entries, self._stop)
            _tool_failed("rsync", outcome)
        ended = time.time_ns()
        for index in files:
            self._entries[index] = _read(self._entries[index], began, ended)


def _dd(meter: _Meter, children: Children) -> _Method:
    """Return a method that runs `dd` with blocks of 1 MiB on open handles.

    A file that fits into one block is copied in this process, because starting another one costs more.
    """

    def copy(source: int, target: int, entry: Entry, stop: Stop) -> None:
        seen = 0

        def watch() -> None:
            nonlocal seen
            stop()
            size = os.fstat(target).st_size
            if size > entry.size:
                raise SourceInUse([f"changed: {printable(entry.path)}"])
            meter.add(size - seen)
            seen = size

        if entry.size <= BLOCK:
            for block in _blocks(source, entry, stop):
                _write_all(target, block)
        else:
            argv = [_program("dd"), f"if=/proc/self/fd/{source}", f"of=/proc/self/fd/{target}", "bs=1M", "status=none"]
            outcome = children.run_blocking(argv, stop=watch, env=_TOOL_ENVIRONMENT, pass_fds=(source, target))
            if outcome.returncode != 0:
                _tool_failed("dd", outcome)
        watch()

    return copy


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ConfigurationError(f"{name} is missing; install it, or set COPY_STRATEGY=auto.")
    return found


def _tool_failed(tool: str, outcome: Outcome) -> NoReturn:
    if any(text in outcome.stderr for text in (b"No space left on device", b"Disk quota exceeded")):
        raise Waiting("Copying stopped: no space left in staging.")
    message = f"Copying with {tool} failed with code {outcome.returncode}: {outcome.complaint()}."
    raise TransientError(message, Operation.COMPRESSION)


@contextmanager
def _reading(source: Position, entry: Entry) -> Iterator[int]:
    """Open one file of the source. Only errors of the opening are explained here; those of the body come from the staging."""
    parent, _, name = entry.path.rpartition(b"/")
    with ExitStack() as stack:
        try:
            handle = stack.enter_context(handles.file(source.at(parent), name))
        except PermanentError as exc:  # not a regular file any more
            raise SourceInUse([f"changed: {printable(entry.path)}"]) from exc
        except OSError as exc:
            raise _source_failure(entry, exc) from exc
        yield handle


def _source_failure(entry: Entry, exc: OSError) -> ArchiverError:
    if exc.errno in MOVED:
        return SourceInUse([f"changed: {printable(entry.path)}"])
    if exc.errno in DENIED:
        return PermanentError(f"Not readable any more; give the archiver's account the right to read: {printable(entry.path)}.")
    return TransientError(f"The source cannot be read at {printable(entry.path)}: {exc.strerror}.", Operation.COMPRESSION)


def _same(entry: Entry, handle: int) -> None:
    try:
        found = os.fstat(handle)
    except OSError as exc:
        raise _source_failure(entry, exc) from exc
    if ("file", found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino) != entry.identity():
        raise SourceInUse([f"changed: {printable(entry.path)}"])


def _blocks(source: int, entry: Entry, stop: Stop) -> Iterator[bytes]:
    """Read the file to its end, but stop when it keeps growing."""
    size, at_once = 0, min(BLOCK, entry.size + 1)
    while True:
        stop()
        try:
            block = os.read(source, at_once)
        except OSError as exc:
            raise _source_failure(entry, exc) from exc
        if not block:
            return
        size += len(block)
        if size > entry.size:
            raise SourceInUse([f"changed: {printable(entry.path)}"])
        yield block


def _digest(source: int, entry: Entry, stop: Stop, use: Callable[[bytes], None]) -> _Digest:
    sha256, crc, size = hashlib.sha256(), 0, 0
    for block in _blocks(source, entry, stop):
        sha256.update(block)
        crc = zlib.crc32(block, crc)
        size += len(block)
        use(block)
    return _Digest(size, crc, sha256.digest())


def _read(entry: Entry, began: int, ended: int) -> Entry:
    return msgspec.structs.replace(entry, read_from_ns=began, read_to_ns=ended)


def _with(entry: Entry, digest: _Digest) -> Entry:
    return msgspec.structs.replace(entry, crc32=digest.crc32, sha256=digest.sha256)


def _write_all(target: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(target, rest) :]


def _make(target: Position, entry: Entry) -> None:
    """Make a directory (mode 0700 until the end), or a link with its time."""
    if not entry.path:
        return
    parent, _, name = entry.path.rpartition(b"/")
    handle = target.at(parent)
    if entry.type == "directory":
        os.mkdir(name, 0o700, dir_fd=handle)
    else:
        os.symlink(entry.link or b"", name, dir_fd=handle)
        _set_link_time(handle, name, entry)


def _set_link_time(parent: int, name: bytes, entry: Entry) -> None:
    os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)


@contextmanager
def _new_file(parent: int, name: bytes, entry: Entry) -> Iterator[int]:
    handle = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
    try:
        yield handle
        _settle(handle, entry, 0o400)
    finally:
        os.close(handle)


def _settle(handle: int, entry: Entry, readable: int) -> None:
    """Set the mode and time of a copied file.

    An account that is not root must be able to read its copy, so `readable` is added to the mode there.
    """
    os.fchmod(handle, entry.mode & _SAFE_MODE | (readable if os.geteuid() != 0 else 0))
    os.utime(handle, ns=(entry.mtime_ns, entry.mtime_ns))
    if os.fstat(handle).st_mtime_ns != entry.mtime_ns:
        path = printable(entry.path) or "the folder itself"
        raise PermanentError(f"The staging file system cannot keep the modification time of {path}; use one with nanoseconds.")


def _finish_directories(copy: int, entries: list[Entry], stop: Stop) -> None:
    """Set the directories' times last and bottom-up, because every new name changes its directory's time."""
    with Position(copy) as target:
        for entry in reversed(entries):
            if entry.type == "directory":
                stop()
                _settle(target.at(entry.path), entry, 0o500)


def _compare_source(source: int, entries: list[Entry], stop: Stop) -> None:
    """Walk the source again. Raises SourceInUse with every difference from `entries`."""
    unsteady: list[str] = []

    def report(finding: Finding, path: bytes) -> None:
        if finding not in WARNINGS:
            unsteady.append(f"changed: {printable(path) or 'the folder itself'}")

    found = changes(entries, scan(source, report=report, stop=stop, inspect=False))
    if found or unsteady:
        raise SourceInUse(found + unsteady)


def _read_back(copy: int, entries: list[Entry], stop: Stop) -> None:
    """Compare a tool's copy with the walk, compute the digests from the copy, and set its times and modes."""
    left = {entry.path: index for index, entry in enumerate(entries)}
    wrong: list[str] = []

    def report(finding: Finding, path: bytes) -> None:
        if finding not in WARNINGS:
            wrong.append(printable(path))

    with Position(copy) as position:
        for made in scan(copy, report=report, stop=stop, inspect=False):
            index = left.pop(made.path, None)
            if index is None or _kind(made) != _kind(entries[index]):
                wrong.append(printable(made.path) or "the folder itself")
            elif made.type == "link":
                parent, _, name = made.path.rpartition(b"/")
                _set_link_time(position.at(parent), name, entries[index])
            elif made.type == "file":
                with _reading(position, made) as handle:
                    digest = _digest(handle, made, stop, lambda _: None)
                    _settle(handle, entries[index], 0o400)
                    entries[index] = _with(entries[index], digest)
    wrong.extend(printable(path) for path in left)
    if wrong:
        raise TransientError(f"The copy differs from the source: {named(wrong)}.", Operation.COMPRESSION)


def _kind(entry: Entry) -> tuple[str, int, bytes | None]:
    """Return what every tool must reproduce. Times are not part of it.

    rsync leaves a time that differs by less than a second, so times are set here.
    """
    return (entry.type, entry.size, entry.link)
