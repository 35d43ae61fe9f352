"""Run the real program as users do: a separate process, piped or in a terminal of a given width."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str = ""

    def json(self) -> Any:
        """Return the one JSON document on stdout."""
        return msgspec.json.decode(self.out)

    def ndjson(self) -> list[Any]:
        return msgspec.json.Decoder().decode_lines(self.out)

    @property
    def lines(self) -> list[str]:
        """Return the terminal's lines, without colours and cursor movements."""
        return re.split(r"[\r\n]+", _ESCAPES.sub("", self.out))


class Cli:
    """`cs-archiver` with its own home and an environment without the product's variables."""

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC", "CS_ARCHIVER_URL": url,
            "CS_ARCHIVER_POLL_SECONDS": "0.02",
        }  # fmt: skip
        self.session_file = home / ".config" / "cs-archiver" / "session.json"

    def store_login(self, username: str, token: str) -> None:
        """Store a login as `login` does."""
        self.session_file.parent.mkdir(parents=True, exist_ok=True)
        login = {"server": self.env["CS_ARCHIVER_URL"], "username": username, "token": token}
        self.session_file.write_bytes(msgspec.json.encode(login))

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "cli", *args]

    def run(self, *args: str, stdin: str = "", **env: str) -> Result:
        done = subprocess.run(
            self.command(*args),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env=self.env | env,
            cwd=self.home,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str, **env: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(*args), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, env=self.env | env, cwd=self.home
        )

    def terminal(self, *args: str, columns: int = 80, asked: str = "", typed: str = "", **env: str) -> Result:
        """Run in a terminal, where stdout and stderr are one stream. `typed` is typed once `asked` is shown."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        variables = self.env | {"TERM": "xterm"} | env
        process = subprocess.Popen(
            self.command(*args), stdin=theirs, stdout=theirs, stderr=theirs, env=variables, cwd=self.home, start_new_session=True
        )
        os.close(theirs)
        seen, deadline = b"", time.monotonic() + 60
        try:
            while chunk := _read(ours, deadline, seen):
                seen += chunk
                if typed and asked.encode() in seen:
                    os.write(ours, typed.encode())
                    typed = ""
            return Result(process.wait(60), seen.decode())
        finally:
            process.kill()
            process.wait()
            os.close(ours)


def _read(handle: int, deadline: float, seen: bytes) -> bytes:
    ready, _, _ = select.select([handle], [], [], max(deadline - time.monotonic(), 0))
    assert ready, f"neither output nor end in time; last seen: {seen!r}"
    try:
        return os.read(handle, 65536)
    except OSError:  # EIO: the other side is closed
        return b""


def interrupt_once(process: "subprocess.Popen[str]", sentence: str) -> Result:
    """Send Ctrl-C once `sentence` appears on stderr."""
    assert process.stderr is not None
    seen, deadline = "", time.monotonic() + 60
    while sentence not in seen:
        assert time.monotonic() < deadline, f"never said {sentence!r}; last seen: {seen!r}"
        line = process.stderr.readline()
        assert line, f"ended without saying {sentence!r}; last seen: {seen!r}"
        seen += line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, seen + err)
