"""Ports on 127.0.0.1: the one used last time if it is still free, so that addresses people noted stay true."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import msgspec

_FILE = "ports.json"

_held: set[int] = set()
"""What this process has given out: bound, but not listened on, until we end. So nobody, not we ourselves and no other process, is given
one a second time before its server takes it, or while its server is started again. The server does not mind: like every server it sets
SO_REUSEADDR, as we do, and then only listening is exclusive."""


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
    """A port that nobody listens on and nobody else is given; somebody who asks for it by its number may still take it."""
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", 0))  # without SO_REUSEADDR: never one that somebody holds
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        holder.close()
        raise
    return _kept(holder)


def choose(run_dir: Path, name: str) -> int:
    """The port remembered for `name` in `run_dir` if free, else a fresh one, remembered."""
    file = run_dir / _FILE
    known: dict[str, int] = {}
    with suppress(FileNotFoundError, msgspec.MsgspecError):
        known = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    if name not in known or not is_free(known[name]):
        others = set(known.values())
        while (port := fresh()) in others:  # remembered for another, which has not asked for it yet
            pass
        known[name] = port
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(known))
        new.replace(file)
    _hold(known[name])
    return known[name]


def _hold(port: int) -> None:
    """Keep a remembered port as `fresh` keeps a new one."""
    if port in _held:
        return
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:  # taken this very moment: its server will say so
        holder.close()
    else:
        _kept(holder)


def _kept(holder: socket.socket) -> int:
    """Leave a bound socket open until this process ends (its children do not inherit it); returns its port."""
    port: int = holder.getsockname()[1]
    holder.detach()
    _held.add(port)
    return port
