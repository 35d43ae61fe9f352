"""The process that reads foreign archives and writes tar: `python -m shared.archiving.worker`, started by `engine`.

It is a separate process so that its memory, time and file sizes can be limited and a parser defect stays inside it. It takes
one request on stdin and answers on stdout (shared/archiving/protocol.py). It ends by itself or by a signal. The process that
started it removes what it wrote.
"""

import fcntl
import lzma
import os
import re
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import zstandard

from shared import units
from shared.archiving import formats, sevenzip, streams, tars, volumes
from shared.archiving.checks import Checks, Chosen, link_problem, names_problem, normal
from shared.archiving.formats import Format
from shared.archiving.protocol import (
    ENCODER,
    REQUEST,
    Answer,
    Doing,
    Extract,
    Extracted,
    Failed,
    Found,
    Kind,
    MakeTar,
    Member,
    Request,
    Scan,
    Scanned,
)
from shared.archiving.writing import Read, Writer
from shared.errors import NOT_FOUND, TAKEN, ArchiverError, Operation, PermanentError, Waiting, from_os_error
from shared.files import handles, sandbox
from shared.files.children import STDERR_CAP, Outcome, launched
from shared.files.findings import SourceInUse
from shared.files.manifest import printable

_BLOCK = 1 << 20
_EVERY_S = 0.2
_NAMED_AT_MOST = 200
_LONGEST_LINK = 4_000
_LONGEST_NAME = 0xFFFF  # as in a zip: a name of 1 GB compresses to little, and would be sent and kept as a whole
_WORTH_TWO = 64 << 20
# Names that 7-Zip can only read as names: no patterns, no switches, no second spelling of the same letters.
_PLAIN = re.compile(rb"[A-Za-z0-9_(][ -~]*(?<![ .])")
_PATTERN = re.compile(rb"[*?\\]")
_NS_PER_TICK = 100
_DAMAGE = (
    tars.DamagedTar,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    UnicodeError,
    ValueError,
    OverflowError,
)


def main() -> None:
    """Handle the request on stdin."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an orderly exit also removes temporary files
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(ValueError, OSError):  # the hard limit may exceed what the kernel now allows: then the soft limit stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each of 999 volumes is open
    request = REQUEST.decode(sys.stdin.buffer.read())
    try:
        say(_answer(request))
    except SourceInUse as exc:
        say(Failed("in-use", str(exc)))
    except ArchiverError as exc:
        if isinstance(exc, PermanentError):
            say(Failed("permanent", str(exc), exc.code))
        else:
            say(Failed("waiting" if isinstance(exc, Waiting) else "transient", str(exc)))
    sys.stdout.buffer.flush()


def _answer(request: Request) -> Answer:
    path = request.output if isinstance(request, MakeTar) else request.archive
    shown = printable(path.rpartition(b"/")[2])
    try:
        if isinstance(request, MakeTar):
            return tars.make(request, Progress().say)
        return scan(request) if isinstance(request, Scan) else extract(request)
    except EOFError as exc:
        raise PermanentError(f"{shown} is cut short: its end is missing.", formats.TRUNCATED) from exc
    except RecursionError as exc:
        raise PermanentError(f"{shown} is damaged: headers of headers of headers, without end.", formats.DAMAGED) from exc
    except MemoryError as exc:
        raise PermanentError(f"{shown} needs more memory to be unpacked than is allowed.", formats.TOO_BIG) from exc
    except OSError as exc:
        if exc.errno is None:  # gzip and bz2 raise this
            what = "bytes follow its end that are no stream" if "Not a gzipped" in str(exc) else exc
            raise PermanentError(f"{shown} is damaged: {what}.", formats.DAMAGED) from exc
        raise from_os_error(exc, Operation.COMPRESSION) from exc
    except _DAMAGE as exc:
        if "too much memory" in str(exc):  # zstandard has one error for everything
            raise PermanentError(f"{shown} needs more memory to be unpacked than is allowed.", formats.TOO_BIG) from exc
        what = "its end is missing" if "unexpected end" in str(exc) else str(exc)
        code = formats.TRUNCATED if "unexpected end" in str(exc) else formats.DAMAGED
        raise PermanentError(f"{shown} is damaged: {what}.", code) from exc


def say(answer: Answer) -> None:
    sys.stdout.buffer.write(ENCODER.encode(answer) + b"\n")


class Progress:
    """Sends progress, at most five times per second."""

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        """Return whether progress is due. This check costs much less than building the message."""
        return time.monotonic() >= self._next

    def say(self, doing: Doing) -> None:
        """Send progress if it is due."""
        if self.due():
            self._next = time.monotonic() + _EVERY_S
            say(doing)
            sys.stdout.buffer.flush()


# Reading -----------------------------------------------------------------------------------------------------------------------


class Archive:
    """One archive. Its member list, and its members with content, can each be read once."""

    def __init__(self, request: Scan | Extract, stack: ExitStack) -> None:
        path = Path(os.fsdecode(request.archive))
        self._raw_name = os.fsencode(path.name)
        self.name = printable(self._raw_name)
        # Files are opened once and only the open files are read. A file that takes one of these names later is never read.
        self._files = volumes.opened(stack, stack.enter_context(handles.root(path.parent)), self._raw_name)
        self._handle = self._files[0][1]
        self.format = formats.of_file(self._handle, self._raw_name)
        self.packed_bytes = sum(os.fstat(handle).st_size for _, handle in self._files)
        self.volumes = len(self._files)
        self._request = request
        self._stack = stack
        self.renamed = False
        self._names_bytes = 0
        self._most_names_bytes = request.limits.names_bytes
        self._file = streams.Packed([handle for _, handle in self._files])
        self._for_7zip = self._seen_by_7zip() if self.format.by_7zip else b""

    def enclose(self) -> None:
        """Enter the sandbox. From then on the process reads only this archive and writes only to the target directory."""
        links = [self._for_7zip.rpartition(b"/")[0]] if self._linked else []
        into = [self._request.into] if isinstance(self._request, Extract) else []
        sandbox.enter(
            sandbox.Opening(
                read=[str(Path(self._request.sevenzip).resolve().parent), *(handle for _, handle in self._files)],
                write=[*into, *links],
                remove=[tempfile.gettempdir()] if links else [],
            )
        )

    @property
    def _is_split(self) -> bool:
        return self._raw_name.endswith(b".001")

    @property
    def _linked(self) -> bool:
        """True when 7-Zip needs to find volumes by their names."""
        return self.format.by_7zip and (self.volumes > 1 or self.format is Format.RAR or self._is_split)

    def _seen_by_7zip(self) -> bytes:
        """Return a path to the open file. If 7-Zip looks for volumes, it gets links under their names in a private directory."""
        if not self._linked:
            return os.fsencode(handles.path_of(self._handle))
        return os.fsencode(volumes.linked(self._stack, self._files)) + b"/" + self._raw_name

    @property
    def position(self) -> int:
        """Return how many bytes of the packed file were read (streams only)."""
        return self._file.position

    def stream(self) -> Iterator[tuple[Member, Callable[[int], bytes] | None]]:
        """Yield the members of a tar, or the only member of a single stream, in order, each with a reader of its content."""
        unpacked = streams.reader(self._stack, self._file, self.format.compression)
        if self.format.is_tar:
            for member, read in tars.members(unpacked):
                yield self._sayable(member), read
        else:
            path = formats.single_name(self._raw_name, self.format)
            yield Member(path=path, kind="file", size=-1, mtime_ns=os.fstat(self._handle).st_mtime_ns), unpacked.read

    def listed(self) -> Iterator[Member]:
        """Yield the members that 7-Zip lists. Afterwards `renamed` tells whether 7-Zip knows a member by another name."""
        parser = sevenzip.ListingParser()
        with self._seven("l", "-slt", "-ba", "-sccUTF-8", "-spd", *self._options()) as pipe:
            while chunk := pipe.read(_BLOCK):
                yield from map(self._member, parser.feed(chunk))
        yield from map(self._member, parser.end())

    def _member(self, listed: sevenzip.Listed) -> Member:
        member = member_of(listed, self.format)
        self.renamed = self.renamed or member.path != listed.path
        return self._sayable(member)

    def _sayable(self, member: Member) -> Member:
        """Return the member. Raises PermanentError when sending all names would cost the receiver too much."""
        here, there = len(member.path), 0 if member.link is None else len(member.link)
        self._names_bytes += here + there
        if here > _LONGEST_NAME or there > _LONGEST_NAME:
            longest = max(here, there)
            raise PermanentError(f"{self.name} is not read: there is a name of {units.exact_size(longest)} in it.", formats.TOO_BIG)
        if self._names_bytes > self._most_names_bytes and (wrong := names_problem(self._names_bytes, self._request.limits)):
            raise PermanentError(f"{self.name} is not read: {wrong}.", formats.TOO_BIG)
        return member

    @contextmanager
    def contents(self, names: list[bytes], without: list[bytes]) -> Iterator["Pipe"]:
        """Return all content as one stream in listing order. names: only these; empty: all. without: exclude these."""
        excluded = [b"-x!" + name for name in without]
        with self._seven("x", "-so", "-bsp0", "-spd", *self._options(), *excluded, names=names) as pipe:
            yield pipe

    def _options(self) -> list[str]:
        forced = {Format.ZIP: "zip", Format.SEVENZIP: "7z"}.get(self.format)
        if forced is None:
            return []
        return [f"-t{forced}.split" if self._is_split else f"-t{forced}"]

    @contextmanager
    def _seven(self, command: str, *options: str | bytes, names: list[bytes] | None = None) -> Iterator["Pipe"]:
        password = self._request.password
        argv: list[str | bytes] = [self._request.sevenzip, command, *options]
        # Without -p, 7-Zip prompts and reads the answer from stdin. With an empty password it fails if it needs one.
        argv += ["--"] if password else ["-p", "--"]
        argv += [self._for_7zip, *(names or [])]
        process = subprocess.Popen(
            launched(argv),
            stdin=subprocess.PIPE if password else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"TZ": "UTC", "PATH": os.defpath},
            pass_fds=[handle for _, handle in self._files],
        )
        pipe = Pipe(process, password)
        try:
            yield pipe
            self._check(pipe)
        finally:
            process.kill()
            process.wait()

    def _check(self, pipe: "Pipe") -> None:
        outcome = pipe.end()
        outcome = outcome._replace(stderr=outcome.stderr.replace(self._for_7zip, self._raw_name))  # users know it by that name
        if (
            outcome.returncode > 0
            and self.format is Format.ZIP
            and not any(formats.has_zip_end(handle) for _, handle in self._files)
        ):
            raise PermanentError(f"{self.name} is cut short: its end is missing.", formats.TRUNCATED)
        if outcome.returncode != 0:  # a mere warning (bytes after the end) affects no file: every CRC was right
            raise sevenzip.refusal(outcome, self.name, with_password=bool(self._request.password))

    def other_content(self, pipe: "Pipe") -> PermanentError:
        """Return the error for more or less content than listed. 7-Zip's own reason takes precedence."""
        self._check(pipe)
        return PermanentError(f"{self.name} is damaged: its content is not what its listing says.", formats.DAMAGED)


class Pipe:
    """The stdout of one 7-Zip run. Its stderr is read at the same time; the first 64 KiB are kept."""

    def __init__(self, process: "subprocess.Popen[bytes]", password: str | None) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._out = process.stdout
        self._said = bytearray()
        self._buffer = memoryview(bytearray(_BLOCK))
        with suppress(OSError):  # a wider pipe is only faster
            fcntl.fcntl(self._out.fileno(), fcntl.F_SETPIPE_SZ, _BLOCK)
        self._hearing = threading.Thread(target=self._hear, args=(process.stderr,), daemon=True)
        self._hearing.start()
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.write((password or "").encode() + b"\n")
                process.stdin.close()

    def _hear(self, stream: IO[bytes]) -> None:
        with stream:
            while chunk := stream.read1(_BLOCK):  # type: ignore[attr-defined]  # a BufferedReader, as Popen makes it
                self._said.extend(chunk[: STDERR_CAP - len(self._said)])

    def read(self, size: int) -> bytes:
        """Read some bytes, at most `size`; none at the end."""
        return os.read(self._out.fileno(), size)

    def fill(self, size: int) -> memoryview:
        """Read `size` bytes, at most `_BLOCK`; fewer only at the end.

        The result is valid until the next call, because one shared buffer is the cheapest.
        """
        filled = 0
        while filled < size and (count := os.readv(self._out.fileno(), [self._buffer[filled:size]])):
            filled += count
        return self._buffer[:filled]

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> Outcome:
        """Return how the run ended. Unread output is discarded."""
        self._out.close()
        returncode = self._process.wait()
        self._hearing.join()
        return Outcome(returncode, bytes(self._said))


class _Share:
    """Reads one member's part of the pipe. Raises 7-Zip's error if that part ends too early."""

    def __init__(self, archive: Archive, pipe: Pipe, size: int) -> None:
        self._archive = archive
        self._pipe = pipe
        self._left = size

    def __call__(self, most: int) -> memoryview:
        wanted = min(most, self._left, _BLOCK)
        data = self._pipe.fill(wanted)
        if len(data) < wanted:
            raise self._archive.other_content(self._pipe)
        self._left -= wanted
        return data


_KINDS: dict[str, Kind] = {"-": "file", "d": "directory", "l": "link"}


def member_of(listed: sevenzip.Listed, found: Format) -> Member:
    """Convert a listed entry to a member. rar lists CRC 0 for a reference to an equal file.

    Some programs separate names in a zip with backslashes; `zip FILE -` stores a pipe with its output as content. Pure.
    """
    told = listed.has_crc and not (found is Format.RAR and listed.crc32 == 0)
    kind = "file" if listed.kind == "p" and listed.size else _KINDS.get(listed.kind, "special")
    path, link = listed.path, listed.link
    if found is Format.ZIP and listed.from_dos and b"/" not in path:
        path = path.replace(b"\\", b"/")
    if listed.hardlink is not None:
        kind, link = "hardlink", normal(listed.hardlink)
    return Member(
        path=normal(path),
        kind=kind,
        size=listed.size if kind in {"file", "link"} else 0,
        packed=listed.packed,
        mtime_ns=None if listed.mtime is None else listed.mtime * _NS_PER_TICK,
        mode=listed.mode,
        link=link,
        crc32=listed.crc32 if told or not listed.size else None,
        encrypted=listed.encrypted,
    )


def has_content(member: Member) -> bool:
    """Return whether 7-Zip delivers bytes for the member (a link whose target is listed has none)."""
    return member.size > 0 and (member.kind == "file" or (member.kind == "link" and member.link is None))


# Listing -----------------------------------------------------------------------------------------------------------------------


def scan(request: Scan) -> Scanned:
    """List the archive: send every member unless `quiet`, and return the summary."""
    with ExitStack() as stack:
        archive = Archive(request, stack)
        archive.enclose()
        summary = _Summary(request, archive)
        if not archive.format.by_7zip:
            _scan_stream(archive, summary)
        elif request.contents:
            _scan_contents(archive, summary)
        else:
            for member in archive.listed():
                summary.add(member)
        return summary.done()


class _Summary:
    def __init__(self, request: Scan, archive: Archive) -> None:
        self._quiet = request.quiet
        self._archive = archive
        self._checks = Checks(request.limits, archive.packed_bytes)
        self._progress = Progress()
        self._encrypted = False
        self._entries = self._files = self._size = 0

    def add(self, member: Member) -> None:
        if not member.path:
            return  # the archive's own root
        self._entries += 1
        self._files += member.kind != "directory"
        self._size += max(member.size, 0) if member.kind == "file" else 0
        self._encrypted = self._encrypted or member.encrypted
        self._checks.add(member)
        if not self._quiet:
            say(Found(member))

    def told(self, name: bytes, position: int, total: int) -> None:
        if self._progress.due():
            self._progress.say(Doing(position, total, self._files, printable(name)))

    def exceeds(self, member: Member) -> bool:
        """Return whether the member's content is too large to read."""
        return self._checks.excess(max(member.size, 0)) is not None

    def too_big(self, more: int) -> bool:
        """Count bytes that no listing announced; return whether they are too many to go on."""
        self._checks.bytes_found(more)
        return any(problem.code == formats.TOO_BIG for problem in self._checks.problems)

    def done(self) -> Scanned:
        return Scanned(
            format=self._archive.format.value,
            entries=self._entries,
            files=self._files,
            original_size=self._size,
            encrypted=self._encrypted,
            packed_bytes=self._archive.packed_bytes,
            volumes=self._archive.volumes,
            problems=[problem.sentence for problem in self._checks.problems],
            problem_code=self._checks.problems[0].code if self._checks.problems else None,
        )


def _scan_stream(archive: Archive, summary: _Summary) -> None:
    for member, read in archive.stream():
        if summary.exceeds(member):  # reading the holes of a sparse file could take days
            summary.add(member)
            continue
        size, crc = 0, 0
        while read is not None and (block := read(_BLOCK)):
            size += len(block)
            crc = zlib.crc32(block, crc)
            summary.told(member.path, archive.position, archive.packed_bytes)
            if member.size < 0 and summary.too_big(len(block)):
                break
        if member.kind == "file":
            member = msgspec.structs.replace(member, size=size, crc32=crc)  # noqa: PLW2901 - now it is known
        elif member.kind == "link":
            member = msgspec.structs.replace(member, crc32=zlib.crc32(member.link or b""))  # noqa: PLW2901 - as above
        summary.add(member)


def _scan_contents(archive: Archive, summary: _Summary) -> None:
    members = list(archive.listed())
    total = sum(member.size for member in members if has_content(member))
    done = 0
    with archive.contents([], [member.path for member in members if member.kind == "hardlink"]) as pipe:
        for member in members:
            if not has_content(member):
                summary.add(member)
                continue
            share, crc = _Share(archive, pipe, member.size), 0
            while block := share(_BLOCK):
                crc = zlib.crc32(block, crc)
                done += len(block)
                summary.told(member.path, done, total)
            if member.crc32 not in {None, crc}:
                raise archive.other_content(pipe)
            summary.add(msgspec.structs.replace(member, crc32=crc))
        if pipe.read(1):
            raise archive.other_content(pipe)


# Unpacking ---------------------------------------------------------------------------------------------------------------------


def extract(request: Extract) -> Extracted:
    """Unpack what is chosen into the empty directory `into`. After a failure the caller removes its contents."""
    with ExitStack() as stack:
        into = stack.enter_context(handles.root(Path(os.fsdecode(request.into))))
        archive = Archive(request, stack)
        archive.enclose()
        writer = Writer(into)
        stack.callback(writer.close)
        chosen = Chosen(request.entries)
        work = _Unpacking(archive, request, writer, chosen)
        if archive.format.by_7zip:
            work.listed()
        else:
            work.stream()
        if missing := chosen.missing():
            names = ", ".join(printable(name) for name in missing[:20])
            raise PermanentError(f"{archive.name} does not hold: {names}.", NOT_FOUND)
        return writer.finish()


class _Unpacking:
    def __init__(self, archive: Archive, request: Extract, writer: Writer, chosen: Chosen) -> None:
        self._archive = archive
        self._names = request.entries
        self._taken = frozenset(request.taken)
        self._password = request.password
        self._writer = writer
        self._chosen = chosen
        self._checks = Checks(request.limits, archive.packed_bytes)
        self._progress = Progress()
        self._counting = threading.Lock()
        self._files = self._done = 0

    def stream(self) -> None:
        """Unpack a tar or a single stream in one pass. If a later member is refused, everything is removed."""
        for member, read in self._archive.stream():
            if not member.path or not self._chosen.wants(member.path):
                continue
            self._check(member)
            self._put(member, self._limited(member, read) if read is not None else _nothing, of_stream=True)

    def _limited(self, member: Member, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        if member.size >= 0:
            return read

        def counted(most: int) -> bytes:
            block = read(most)
            self._checks.bytes_found(len(block))
            self._refuse()
            return block

        return counted

    def listed(self) -> None:
        """Unpack what 7-Zip reads. The whole listing is checked before the first byte is unpacked."""
        members = []
        for member in self._archive.listed():
            wanted = bool(member.path) and self._chosen.wants(member.path)
            if wanted:
                self._check(member)
                if member.encrypted and member.size and not self._password:
                    raise PermanentError(f"{self._archive.name} cannot be opened: it needs a password.", formats.BAD_PASSWORD)
            members.append((member, wanted))
        names = self._few_names()
        if names:
            members = [(member, wanted) for member, wanted in members if wanted]
        without = [member.path for member, _ in members if member.kind == "hardlink"]
        if not any(has_content(member) for member, wanted in members if wanted):
            for member, wanted in members:
                if wanted:
                    self._put(member, _nothing)
            return
        halves = _halves(members) if self._may_split() else []
        self._fill(halves or [_Lot(names, without, members)])

    def _fill(self, lots: list["_Lot"]) -> None:
        with ExitStack() as stack:
            # This thread starts the runs, because it lives as long as they may.
            pipes = [stack.enter_context(self._archive.contents(lot.names, lot.without)) for lot in lots]
            with ThreadPoolExecutor(len(lots)) as pool:
                tasks = [pool.submit(self._drain, pipe, lot.members) for pipe, lot in zip(pipes, lots, strict=True)]
                try:
                    for task in wait(tasks, return_when=FIRST_EXCEPTION).done:
                        task.result()
                except BaseException:  # includes a signal's exception: then both runs stop
                    for pipe in pipes:
                        pipe.kill()
                    raise

    def _drain(self, pipe: Pipe, members: list[tuple[Member, bool]]) -> None:
        for member, wanted in members:
            self._take(member, wanted, pipe)
        if pipe.read(1):
            raise self._archive.other_content(pipe)

    def _may_split(self) -> bool:
        """Return whether two runs may share the work. Any zip member can be unpacked alone; 7-Zip unpacks them one by one."""
        return self._archive.format is Format.ZIP and not self._names and not self._archive.renamed

    def _few_names(self) -> list[bytes]:
        """Return the names to pass to 7-Zip: the chosen ones if they are few and usable; else none, and we drop the rest."""
        names = [normal(name) for name in self._names]
        few = len(names) <= _NAMED_AT_MOST and not self._archive.renamed
        return names if few and not any(b"\n" in name for name in names) else []

    def _take(self, member: Member, wanted: bool, pipe: Pipe) -> None:
        share = _Share(self._archive, pipe, member.size if has_content(member) else 0)
        if not wanted:
            while share(_BLOCK):
                pass
        elif member.kind == "link" and member.link is None:
            if member.size > _LONGEST_LINK:
                raise self._refusal(
                    f"{printable(member.path)} is a link with a target of {units.exact_size(member.size)}", formats.UNSAFE
                )
            self._put_link(msgspec.structs.replace(member, link=bytes(share(_LONGEST_LINK))))
        else:
            self._put(member, share)

    def _put_link(self, member: Member) -> None:
        if wrong := link_problem(member):
            raise self._refusal(wrong, formats.UNSAFE)
        self._put(member, _nothing)

    def _put(self, member: Member, read: Read, *, of_stream: bool = False) -> None:
        def written(count: int) -> None:
            with self._counting:
                self._done += count
            if not self._progress.due():
                return
            where = self._archive.position if of_stream else self._done
            total = self._archive.packed_bytes if of_stream else self._checks.total_bytes
            self._progress.say(Doing(where, total, self._files, printable(member.path)))

        self._writer.put(member, read, written)
        with self._counting:
            self._files += member.kind != "directory"
        written(0)

    def _check(self, member: Member) -> None:
        self._checks.add(member)
        self._refuse()
        top = member.path.partition(b"/")[0]
        if top in self._taken:
            raise self._refusal(f"there is a {printable(top)} already where it would go", TAKEN)

    def _refuse(self) -> None:
        if self._checks.problems:
            first = self._checks.problems[0]
            raise self._refusal(first.sentence, first.code)

    def _refusal(self, sentence: str, code: str) -> PermanentError:
        return PermanentError(f"{self._archive.name} is not unpacked: {sentence}.", code)


class _Lot(NamedTuple):
    """What one run of 7-Zip unpacks. names: only these; empty: all. without: exclude these.

    members: in listing order, each with whether it is wanted.
    """

    names: list[bytes]
    without: list[bytes]
    members: list[tuple[Member, bool]]


def _halves(members: list[tuple[Member, bool]]) -> list[_Lot]:
    """Split the work into two parallel lots: the largest files, by name, and all others. Empty when the work is too small. Pure."""
    files = sorted((member for member, _ in members if has_content(member)), key=lambda member: member.size, reverse=True)
    left = total = sum(member.size for member in files)
    apart: list[bytes] = []
    for member in files[:_NAMED_AT_MOST]:
        if left * 2 > total and left > member.size and _is_plain(member.path):
            apart.append(member.path)
            left -= member.size
    if total < _WORTH_TWO or left * 4 > total * 3:
        return []
    chosen = set(apart)
    first, second = ([one for one in members if (one[0].path in chosen) is wanted] for wanted in (True, False))
    return [_Lot(apart, [], first), _Lot([], apart, second)]


def _is_plain(path: bytes) -> bool:
    return _PLAIN.fullmatch(path) is not None and _PATTERN.search(path) is None


def _nothing(_: int) -> bytes:
    return b""


if __name__ == "__main__":
    main()
