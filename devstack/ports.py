"""Ports on 127.0.0.1. A port is reused at the next start if it is still free, so that known addresses stay valid."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import msgspec

_FILE = "ports.json"

_held: set[int] = set()
"""The ports that this process handed out. They stay bound until it ends, but nothing listens on the sockets here. So no process
gets the same port again before its server uses it, or while its server restarts. The server can still listen: like every
server, and like this process, it sets SO_REUSEADDR, and then only listening is exclusive."""


def is_free(port: int) -> bool:
    """Return whether a server could listen there now. As for servers, lingering connections do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def answers_ok(port: int, path: str, host: str = "127.0.0.1") -> bool:
    """Return whether an HTTP server on this machine answers this path with 200 within 5 s."""
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
    """Return a port on which nothing listens and that no other call returns. A program that names this port may still take it."""
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", 0))  # without SO_REUSEADDR, so never one that is held
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        holder.close()
        raise
    return _kept(holder)


def choose(run_dir: Path, name: str) -> int:
    """Return the port remembered for `name` in `run_dir` if it is free, else remember and return a fresh one."""
    file = run_dir / _FILE
    known: dict[str, int] = {}
    with suppress(FileNotFoundError, msgspec.MsgspecError):
        known = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    if name not in known or not is_free(known[name]):
        others = set(known.values())
        while (port := fresh()) in others:  # remembered for another name, which has not used it yet
            pass
        known[name] = port
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(known))
        new.replace(file)
    _hold(known[name])
    return known[name]


def _hold(port: int) -> None:
    """Hold a remembered port, as `fresh` holds a new one."""
    if port in _held:
        return
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:  # another program took it this moment: its server will report that
        holder.close()
    else:
        _kept(holder)


def _kept(holder: socket.socket) -> int:
    """Keep a bound socket open until this process ends, and return its port. Children do not inherit the socket."""
    port: int = holder.getsockname()[1]
    holder.detach()
    _held.add(port)
    return port
