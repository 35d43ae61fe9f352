"""Ports on 127.0.0.1: the one used last time if it is still free, so that addresses people noted stay true."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import msgspec

_FILE = "ports.json"


def is_free(port: int) -> bool:
    """True if a server could listen there now (as servers do, ignoring connections that are only lingering)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def answers_ok(port: int, path: str, host: str = "127.0.0.1") -> bool:
    """True when an HTTP server on this machine answers this path with 200 within 5 s."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        status = await asyncio.wait_for(reader.readline(), 5)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
    return b" 200 " in status


def fresh() -> int:
    """A port that nobody listens on; whoever takes it first has it, so a caller must be ready to fail."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


def choose(run_dir: Path, name: str) -> int:
    """The port remembered for `name` in `run_dir` if free, else a fresh one, remembered."""
    file = run_dir / _FILE
    known: dict[str, int] = {}
    with suppress(FileNotFoundError, msgspec.MsgspecError):
        known = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    if name not in known or not is_free(known[name]):
        known[name] = fresh()
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(known))
        new.replace(file)
    return known[name]
