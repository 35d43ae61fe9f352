"""Measure, and print each figure beside its reference. Nothing is asserted, because times count only on a quiet machine."""

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import archives, crowd, files, history, hundred_thousand, idle, media, pipeline, scan, team, websocket
from benchmarks.figures import Figure, Options, line, machine
from benchmarks.stack import Stack, workplace

ALL: dict[str, Callable[[Options, Path, Stack], Iterator[Figure]]] = {
    "scan": scan.run,
    "media": media.run,
    "idle": idle.run,  # leaves fresh processes for the next benchmark
    "hundred_thousand": hundred_thousand.run,
    "pipeline": pipeline.run,
    "websocket": websocket.run,
    "team": team.run,
    "crowd": crowd.run,
    "history": history.run,
    "archives": archives.run,
    "files": files.run,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the named benchmarks, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(ALL)} (default: all)")
    parser.add_argument(
        "--rounds", type=int, default=Options().rounds, help="runs of product and of reference (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=float, default=Options().size, metavar="MIB", help="the pipeline's tree (default: %(default)s)"
    )
    parser.add_argument("--files", type=int, default=Options().files, help="of hundred_thousand (default: %(default)s)")
    parser.add_argument("--folders", type=int, default=Options().folders, help="of scan (default: %(default)s)")
    parser.add_argument("--idle-s", type=float, default=Options().idle_s, help="seconds of idling (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=Options().clients, help="of websocket (default: %(default)s)")
    parser.add_argument("--watch-s", type=float, default=Options().watch_s, help="seconds of websocket (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=Options().jobs, help="of history (default: %(default)s)")
    parser.add_argument("--asked", type=int, default=Options().asked, help="times per list of history (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append every figure to FILE, one JSON document per line")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in ALL]:
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    options = Options(**{name: getattr(given, name) for name in Options.__struct_fields__})
    logging.getLogger("httpx").setLevel(logging.WARNING)
    where = machine()
    print(", ".join(f"{name}: {value}" for name, value in where.items()), flush=True)
    with workplace() as place, Stack(place) as stack:
        for name in given.names or ALL:
            for figure in ALL[name](options, place, stack):
                print(figure.text(), flush=True)
                if given.json is not None:
                    with given.json.open("ab") as file:
                        file.write(line(name, options, machine(), figure))


if __name__ == "__main__":
    main()
