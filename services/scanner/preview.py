"""Preview a folder before it is archived: scan it once by the rules of the pre-flight, and report progress meanwhile.

A scan continues in the background for as long as somebody asks for it. Its result is fresh for a minute. At most two scans run at
a time. Each holds one directory handle and tallies of bounded size, so 100,000 files cost what 100 do.
"""

import asyncio
import heapq
import os
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from services.scanner import browsing, discovery
from services.scanner.catalog import Catalog
from shared import log
from shared.errors import Cancelled, PermanentError
from shared.files import findings, handles, preflight, tree_scan
from shared.files.manifest import Entry, printable
from shared.media import limits, reader
from shared.media.reader import Readers
from shared.service.rpc import AskPreview, Branch, FilmSeen, FolderSeen, MediaTotals, NamedSize, TypeCount

logger = log.get(__name__)

FRESH_S = 60.0
FORGOTTEN_S = 30.0
"""A scan ends when nobody has asked for it for this many seconds."""
AT_ONCE = 2
KEPT = 16
WAIT_S = 5.0
_TYPES, _LARGEST, _BRANCHES, _DEPTH = 25, 10, 100, 2
_MOST_TYPES, _MOST_BRANCHES = 5_000, 5_000
MEDIA_FILES = 200
MEDIA_S = 30.0
"""The lengths of at most MEDIA_FILES media files, the largest, are read, for at most this many seconds. The rest are counted."""


class Tally:
    """The totals of a walk. One thread writes them, another reads them under `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.findings = findings.Findings()
        self.files = self.folders = self.bytes = 0
        self._types: Counter[str] = Counter()
        self._type_bytes: Counter[str] = Counter()
        self._largest: list[tuple[int, bytes]] = []
        self._branches: dict[bytes, list[int]] = {}
        self._left_out = False
        self.films: list[tuple[int, bytes]] = []
        self.media_files = self.media_bytes = self.measured = self.unreadable = 0
        self.media_seconds = 0.0
        self.checked: list[FilmSeen] = []

    def add(self, entry: Entry) -> None:
        if entry.type == "directory":
            self.folders += 1 if entry.path else 0
            self._branch(entry.path, 0, 0)
            return
        self.files += 1
        if entry.type != "file":
            return
        self.bytes += entry.size
        self._count_type(entry)
        self._branch(entry.path.rpartition(b"/")[0], 1, entry.size)
        _keep(self._largest, (entry.size, entry.path), _LARGEST)

    def _count_type(self, entry: Entry) -> None:
        ending = _ending(entry.path)
        kind = ending if ending in self._types or len(self._types) < _MOST_TYPES else "..."
        self._types[kind] += 1
        self._type_bytes[kind] += entry.size
        if ending in limits.EXTENSIONS:
            self.media_files += 1
            self.media_bytes += entry.size
            _keep(self.films, (entry.size, entry.path), MEDIA_FILES)

    def _branch(self, folder: bytes, files: int, size: int) -> None:
        parts = folder.split(b"/") if folder else []
        for depth in range(1, min(len(parts), _DEPTH) + 1):
            path = b"/".join(parts[:depth])
            if path not in self._branches:
                if len(self._branches) >= _MOST_BRANCHES:
                    self._left_out = True
                    continue
                self._branches[path] = [0, 0]
            self._branches[path][0] += files
            self._branches[path][1] += size

    def seen(self) -> FolderSeen:
        """Return the current state. The caller fills in path, stage and time."""
        branches = sorted(self._branches.items(), key=lambda item: (-item[1][1], item[0]))
        return FolderSeen(
            path="",
            complete=False,
            stage="walking",
            seconds=0,
            file_count=self.files,
            folder_count=self.folders,
            total_bytes=self.bytes,
            refusals=self.findings.sentences(warnings=False),
            warnings=self.findings.sentences(warnings=True),
            changed=self.findings.changes(),
            types=self._type_counts(),
            largest=[NamedSize(printable(path), size) for size, path in sorted(self._largest, key=lambda f: (-f[0], f[1]))],
            tree=[Branch(printable(path), path.count(b"/") + 1, *figures) for path, figures in branches[:_BRANCHES]],
            tree_complete=not self._left_out and len(branches) <= _BRANCHES,
            media=MediaTotals(
                file_count=self.media_files,
                size_bytes=self.media_bytes,
                measured_count=self.measured,
                unreadable_count=self.unreadable,
                duration_seconds=round(self.media_seconds, 3),
            ),
            films=sorted(self.checked, key=lambda film: (not film.warnings, film.path)),
        )

    def _type_counts(self) -> list[TypeCount]:
        by_size = sorted(self._types, key=lambda kind: (-self._type_bytes[kind], kind))
        shown, rest = by_size[:_TYPES], by_size[_TYPES:]
        counts = [TypeCount(kind, self._types[kind], self._type_bytes[kind]) for kind in shown if kind != "..."]
        rest += [kind for kind in shown if kind == "..."]
        if rest:
            counts.append(TypeCount("...", sum(self._types[k] for k in rest), sum(self._type_bytes[k] for k in rest)))
        return counts


def _keep(heap: list[tuple[int, bytes]], item: tuple[int, bytes], most: int) -> None:
    if len(heap) < most:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


def _ending(path: bytes) -> str:
    name = path.rpartition(b"/")[2]
    stem, dot, ending = name.rpartition(b".")
    return printable(ending).lower() if dot and stem and 0 < len(ending) <= 15 else ""


class Look:
    """One scan of a folder."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.tally = Tally()
        self.began = self.asked = time.monotonic()
        self.ended: float | None = None
        self.stage: str = "waiting"
        self.task: asyncio.Task[None] | None = None

    def go_on(self) -> None:
        """Raise Cancelled when nobody asks any more."""
        if time.monotonic() - self.asked > FORGOTTEN_S:
            raise Cancelled("Nobody asks for this preview any more.")

    def seen(self) -> FolderSeen:
        with self.tally.lock:
            seen = self.tally.seen()
        seen.path, seen.complete = self.path, self.ended is not None
        seen.stage = "complete" if seen.complete else self.stage  # type: ignore[assignment]  # one of the four words
        seen.seconds = round((self.ended or time.monotonic()) - self.began, 3)
        return seen


class Previews:
    """The scans that are running or fresh."""

    def __init__(self, catalog: Catalog, base: Path, readers: Readers = reader.COLD) -> None:
        self._catalog = catalog
        self._base = base
        self._readers = readers
        self._looks: dict[str, Look] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def answer(self, question: AskPreview) -> FolderSeen:
        """Return what is known after at most `wait_s`. Raises PermanentError if it is not a folder, Waiting without the NAS."""
        levels = discovery.levels(self._base, question.path)
        path = "/".join((str(self._base).rstrip("/"), *levels))
        sentinel = await self._catalog.known()
        look = self._looks.get(path)
        if look is None or self._is_over(look) or (question.refresh and look.ended is not None):
            await asyncio.to_thread(self._check, levels, sentinel)
            look = self._start(path, levels, sentinel)
        look.asked = time.monotonic()
        assert look.task is not None
        await asyncio.wait({look.task}, timeout=max(0.0, min(question.wait_s, WAIT_S)))
        if look.task.done() and (failure := look.task.exception()) is not None:
            self._looks.pop(path, None)
            raise failure
        return look.seen()

    @staticmethod
    def _is_over(look: Look) -> bool:
        """Return whether the scan is too old, or ended early."""
        failed = look.ended is None and look.task is not None and look.task.done()
        return failed or (look.ended is not None and time.monotonic() - look.ended > FRESH_S)

    def _start(self, path: str, levels: tuple[str, str, str], sentinel: str) -> Look:
        ended = sorted((look for look in self._looks.values() if look.task and look.task.done()), key=lambda look: look.asked)
        for old in ended[: max(0, len(self._looks) - KEPT + 1)]:
            del self._looks[old.path]
        look = self._looks[path] = Look(path)
        look.task = asyncio.create_task(self._run(look, levels, sentinel))
        look.task.add_done_callback(lambda done: done.cancelled() or done.exception())  # the next caller, if any, sees the error
        return look

    async def _run(self, look: Look, levels: tuple[str, str, str], sentinel: str) -> None:
        async with self._slots:
            look.stage = "walking"
            await asyncio.to_thread(self._walk, look, levels, sentinel)
            look.stage = "media"
            await self._measure(look, levels, sentinel)
            look.ended = time.monotonic()

    def _check(self, levels: tuple[str, str, str], sentinel: str) -> None:
        with self._opened(levels, sentinel):
            return

    def _opened(self, levels: tuple[str, str, str], sentinel: str) -> AbstractContextManager[int]:
        return browsing.opened(self._base, sentinel, "/".join(levels))

    def _walk(self, look: Look, levels: tuple[str, str, str], sentinel: str) -> None:
        tally, name = look.tally, os.fsencode(levels[2])

        def report(finding: findings.Finding, path: bytes) -> None:
            with tally.lock:
                tally.findings.report(finding, path)

        with self._opened(levels, sentinel) as handle:
            preflight.check_folder_name(name, handles.longest_name(handle), report)
            for entry in tree_scan.scan(handle, report=report, stop=look.go_on, inspect=True, prefix_length=len(name) + 1):
                with tally.lock:
                    tally.add(entry)

    async def _measure(self, look: Look, levels: tuple[str, str, str], sentinel: str) -> None:
        """Read the largest media files: length, quality and problems."""
        tally, give_up = look.tally, time.monotonic() + MEDIA_S
        for size, path in sorted(tally.films, reverse=True):
            look.go_on()
            if time.monotonic() > give_up:
                return
            film = await self._film(levels, path, size, sentinel)
            with tally.lock:
                tally.measured += 1
                tally.unreadable += film.duration_seconds is None
                tally.media_seconds += film.duration_seconds or 0.0
                tally.checked.append(film)

    async def _film(self, levels: tuple[str, str, str], path: bytes, size: int, sentinel: str) -> FilmSeen:
        folder, _, name = path.rpartition(b"/")
        try:
            with ExitStack() as stack:
                top = stack.enter_context(self._opened(levels, sentinel))
                parent = stack.enter_context(handles.directory(top, folder))
                info = await reader.info(stack.enter_context(handles.file(parent, name)), "", brief=True, readers=self._readers)
        except (OSError, PermanentError) as exc:
            reason = exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
            return FilmSeen(path=printable(path), size_bytes=size, warnings=[reason])
        return FilmSeen(
            path=printable(path),
            size_bytes=size,
            duration_seconds=info.duration_seconds,
            resolution=info.resolution,
            quality=info.quality.label if info.quality else None,
            warnings=list(dict.fromkeys([*(info.quality.warnings if info.quality else []), *info.warnings])),
        )
