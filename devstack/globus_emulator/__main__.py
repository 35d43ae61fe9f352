"""Start the emulator: `python -m devstack.globus_emulator --config FILE --state DIR [--port 0] [--port-file FILE]`.

Once it listens, it prints one line of JSON with its URL. SIGTERM and SIGINT stop it; unfinished tasks continue at the next start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from devstack.globus_emulator.api import Api
from devstack.globus_emulator.app import Application, Protocol
from devstack.globus_emulator.config import Config, ConfigError, load
from devstack.globus_emulator.requestlog import RequestLog
from devstack.globus_emulator.store import Store
from devstack.globus_emulator.transfer import Run
from devstack.globus_emulator.world import World

KEEP_ALIVE_S = 75
GRACE_S = 1
EXIT_USAGE = 2


class _Server(uvicorn.Server):
    """A server with its own signal handling: uvicorn raises signals again at the end, so a clean stop would look like a crash."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack.globus_emulator", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="JSON configuration, mode 0600: the secrets are in it")
    parser.add_argument("--state", type=Path, required=True, help="directory for tasks and tokens; created when absent")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port (default)")
    parser.add_argument("--port-file", type=Path, help="also write the port to this file, once it is listening")
    parser.add_argument("--allow-remote", action="store_true", help="permit an address that is not loopback")
    return parser.parse_args(argv)


def _listen(host: str, port: int, *, allow_remote: bool) -> socket.socket:
    """Return a listening socket. Raises ConfigError."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ConfigError(f"--host must be an IP address, not {host!r}") from None
    if not address.is_loopback and not allow_remote:
        raise ConfigError(f"{address} is reachable from other machines; say --allow-remote if that is wanted")
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # Name the protocol, or asyncio does not set TCP_NODELAY on accepted connections and every answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address), port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {address} port {port}: {error.strerror}") from error
    listener.listen(128)
    return listener


def _own(state: Path) -> int:
    """Lock the state directory for this process until it ends, even by a crash. Raises ConfigError."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigError(f"another emulator works on {state}") from None
    return lock


def _announce(listener: socket.socket, port_file: Path | None) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if port_file is not None:
        temporary = port_file.with_name(port_file.name + ".new")
        temporary.write_text(f"{port}\n")
        temporary.replace(port_file)
    print(json.dumps({"ready": True, "url": url, "port": port, "pid": os.getpid()}), flush=True)


async def _serve(world: World, config: Config, listener: socket.socket, port_file: Path | None) -> None:
    application = Application(Api(world, RequestLog(config.request_log_size)))
    server = _Server(
        uvicorn.Config(
            application,
            http=Protocol,
            loop="asyncio",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )

    def stop() -> None:
        server.should_exit = True
        application.closing.set()
        world.wake_for_close()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    world.start()
    # The socket has listened since it was bound: a caller that reads this line gets an answer as soon as the loop runs.
    _announce(listener, port_file)
    await server.serve(sockets=[listener])
    world.close()


def main(argv: list[str] | None = None) -> int:
    """Run the emulator. Returns 0 when a signal stopped it, 2 when the configuration is unusable."""
    arguments = _arguments(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # The ready line and the exit status report the start and stop of the server.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        config = load(arguments.config)
        lock = _own(arguments.state)
        listener = _listen(arguments.host, arguments.port, allow_remote=arguments.allow_remote)
    except ConfigError as error:
        print(f"globus emulator: {error}", file=sys.stderr)
        return EXIT_USAGE
    world = World(config, Store(arguments.state), Run)
    asyncio.run(_serve(world, config, listener, arguments.port_file))
    os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
