"""Memory and processor time of every process of a stack, measured from outside."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil

_EVERY_S = 0.1
_LOOK_S = 0.5  # interval of the search for new processes, which costs more
_MIB = 2**20


def processes(data: Path) -> dict[str, list[psutil.Process]]:
    """Return the stack's processes by name: the supervisor's children by their service, their children as `service: program`."""
    found: dict[str, list[psutil.Process]] = {}
    for file in (data / "run").glob("*.pid"):
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(msgspec.json.decode(file.read_bytes())["pid"])
            found[file.stem] = [process]
            for child in process.children(recursive=True):
                name = file.stem if file.stem == "postgres" else f"{file.stem}: {child.name()}"
                found.setdefault(name, []).append(child)
    return found


def resident(data: Path) -> dict[str, float]:
    """Return the MiB in memory now, by name. Postgres' shared memory counts in each of its processes."""
    return {name: sum(map(_rss, each)) / _MIB for name, each in processes(data).items()}


def highest(data: Path) -> dict[str, float]:
    """Return the peak MiB since the start, by name, only for the supervisor's own children, whose names have no colon."""
    found: dict[str, float] = {}
    for name, (process, *_) in processes(data).items():
        status = Path(f"/proc/{process.pid}/status").read_text()
        found[name] = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return found


def processor_seconds(data: Path) -> dict[str, float]:
    """Return the processor time since the start, by name. A parent's time includes its ended children."""
    return {name: sum(map(_cpu, each)) for name, each in processes(data).items()}


@contextmanager
def peaks(data: Path) -> Iterator[dict[str, float]]:
    """Watch while the block runs. The yielded dict holds the peak MiB of each name so far."""
    highest: dict[str, float] = {}
    over = threading.Event()

    def watch() -> None:
        known, looks = processes(data), 0
        while not over.wait(_EVERY_S):
            looks += 1
            if looks % round(_LOOK_S / _EVERY_S) == 0:
                known = processes(data)
            for name, each in known.items():
                highest[name] = max(highest.get(name, 0.0), sum(map(_rss, each)) / _MIB)

    watcher = threading.Thread(target=watch, name="watcher")
    watcher.start()
    try:
        yield highest
    finally:
        over.set()
        watcher.join()


def _rss(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss)
    except psutil.Error:
        return 0.0


def _cpu(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system + used.children_user + used.children_system)
