"""The results of a benchmark and their output: medians, spreads, and ratios of runs made side by side."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """rounds: runs of product and reference each, in turn. size: MiB of the pipeline's tree. idle_s: seconds of watching.

    asked: requests per list and round.
    """

    rounds: int = 5
    size: float = 512
    files: int = 100_000
    folders: int = 1_000
    idle_s: float = 20
    clients: int = 1_000
    watch_s: float = 30
    jobs: int = 1_000_000
    asked: int = 40


class Beside(msgspec.Struct, frozen=True, tag="beside"):
    """Seconds of product and reference, one pair per round, run one after the other. target: the required ratio, or None."""

    what: str
    product: list[float]
    reference: list[float]
    against: str
    target: float | None = None

    @property
    def ratios(self) -> list[float]:
        """Compare each round with its own neighbour: a machine that is slow for a while slows both."""
        return [ours / theirs for ours, theirs in zip(self.product, self.reference, strict=True)]

    def text(self) -> str:
        target = "" if self.target is None else f" (asked: at most {self.target:g})"
        return (
            f"{self.what}: x{median(self.ratios):.2f} {_spread(self.ratios, '.2f')} of {self.against}{target}; "
            f"{median(self.product):.3g} s {_spread(self.product, '.3g')} beside "
            f"{median(self.reference):.3g} s {_spread(self.reference, '.3g')}"
        )


class Parts(msgspec.Struct, frozen=True, tag="parts"):
    """How much each part took per round: seconds of a state, or MiB of a process. limit: the maximum for each part."""

    what: str
    unit: str
    parts: dict[str, list[float]]
    limit: float | None = None

    def text(self) -> str:
        limit = "" if self.limit is None else f" (asked of the services: below {self.limit:g})"
        width = max(map(len, self.parts), default=0)
        lines = [f"  {name:{width}}  {median(values):8.2f} {_spread(values, '.2f')}" for name, values in self.parts.items()]
        return "\n".join([f"{self.what}, {self.unit}{limit}:", *lines])


Figure = Beside | Parts


def parts(what: str, unit: str, rounds: Sequence[dict[str, float]], limit: float | None = None) -> Parts:
    """Combine one dict per round. A part that is missing in a round counts as 0."""
    names = dict.fromkeys(name for one in rounds for name in one)
    return Parts(what, unit, {name: [one.get(name, 0.0) for one in rounds] for name in names}, limit)


def machine() -> dict[str, Any]:
    """Describe the machine. load: running processes, averaged over 1, 5 and 15 minutes."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": [round(value, 1) for value in os.getloadavg()],
    }


def line(benchmark: str, options: Options, where: dict[str, Any], figure: Figure) -> bytes:
    """Return one figure as a line of JSON."""
    ratio = {"ratio": median(figure.ratios), "ratios": figure.ratios} if isinstance(figure, Beside) else {}
    facts = {"benchmark": benchmark, "options": options, "machine": where, "figure": figure, **ratio}
    return msgspec.json.encode(facts) + b"\n"


def _spread(values: Sequence[float], shown: str) -> str:
    return f"[{min(values):{shown}}-{max(values):{shown}}]"


def _processor() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = text.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
