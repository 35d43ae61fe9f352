"""The command line with a scripted gateway: the common contract, and cases that only a script can produce."""

import signal
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
from litestar import Response

from cli.client import Client, Doc, Job, LogLine
from cli.exits import Exit, Failure
from cli.watch import watch
from tests.cli.contract import GatewayContract
from tests.cli.gateway import BASE, NOW, Host, ScriptedGateway, host
from tests.cli.runner import Cli


@pytest.fixture(scope="module")
def served() -> Iterator[Host]:
    with host() as running:
        yield running


class _Folders(ScriptedGateway):
    ready, failing, endless = "Production/2024/Alpha", "Production/2024/Broken", "Production/2024/Endless"


@pytest.fixture
def gateway(served: Host) -> ScriptedGateway:
    state = served.fresh()
    state.__class__ = _Folders
    return state


@pytest.fixture
def cli(gateway: ScriptedGateway, tmp_path: Path) -> Cli:
    """The program, logged in with `token-1`."""
    cli = Cli(tmp_path, gateway.url)
    gateway.tokens["token-1"] = gateway.username
    cli.store_login(gateway.username, "token-1")
    return cli


class TestScriptedGateway(GatewayContract):
    """The contract."""


def test_the_password_is_nowhere_but_in_the_request(gateway: ScriptedGateway, cli: Cli) -> None:
    """It is not stored or printed, and no option takes it. The session file is private to the user and is replaced atomically."""
    secret = gateway.password
    done = cli.run("login", "--user", "alice", stdin=secret + "\n")
    assert done.code == Exit.OK, done
    assert secret not in done.out + done.err
    assert stat.S_IMODE(cli.session_file.stat().st_mode) == 0o600
    assert secret not in cli.session_file.read_text()
    assert list(cli.session_file.parent.iterdir()) == [cli.session_file]
    assert cli.run("login", "--user", "alice", "--password", secret).code == Exit.USAGE
    done = cli.run("login", "--server", f"http://alice:{secret.split()[0]}@127.0.0.1:9")
    assert done.code == Exit.CONFIGURATION
    assert secret.split()[0] not in done.err


def test_a_password_is_asked_for_without_echo(gateway: ScriptedGateway, cli: Cli) -> None:
    """In a terminal, typed characters are not shown."""
    done = cli.terminal("login", "--user", "alice", asked="Password of", typed=gateway.password + "\n", columns=200)
    assert done.code == Exit.OK, done
    assert gateway.password not in done.out


def test_a_first_password_must_be_changed(gateway: ScriptedGateway, cli: Cli) -> None:
    """Refusals point to `password`. Afterwards the new token is stored and everything works."""
    gateway.must_change.add("alice")
    done = cli.run("jobs")
    assert (done.code, "cs-archiver password" in done.err) == (Exit.REFUSED, True)
    done = cli.run("password", stdin=f"{gateway.password}\nnew secret\n")
    assert done.code == Exit.OK, done
    assert gateway.passwords["alice"] == "new secret"
    assert cli.run("jobs").code == Exit.OK


def test_a_token_is_never_shown_to_another_server(gateway: ScriptedGateway, cli: Cli) -> None:
    """Another address than the login's counts as not logged in, and no request is made."""
    other = gateway.url.replace("127.0.0.1", "localhost")
    assert cli.run("jobs", "--server", other).code == Exit.REFUSED
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("url", "code"),
    [("http://127.0.0.1:1", Exit.UNAVAILABLE), ("ftp://host", Exit.CONFIGURATION), ("http://host:99999", Exit.CONFIGURATION)],
)
def test_a_server_that_is_down_or_no_address(cli: Cli, url: str, code: Exit) -> None:
    """One sentence without a traceback."""
    done = cli.run("login", "--server", url, "--user", "alice", stdin="x\n")
    assert done.code == code
    assert done.err.startswith("cs-archiver: ")
    assert done.err.count("\n") == 1


def test_a_server_in_trouble_or_of_another_kind(gateway: ScriptedGateway, cli: Cli) -> None:
    """Exit 6 for 5xx, for HTML, and for JSON of another shape. Exit 3 with the fix once the token has expired."""
    gateway.trouble = Response(b"<h1>Bad gateway</h1>", status_code=502)
    done = cli.run("status")
    assert (done.code, done.out) == (Exit.UNAVAILABLE, ""), done
    assert "Traceback" not in done.err
    for body in (b"<h1>Welcome</h1>", b'{"hello": 1}', b"[1]"):
        gateway.trouble = Response(body, status_code=200)
        with Client(gateway.url, "token-1") as client, pytest.raises(Failure) as caught:
            client.system_status()
        assert caught.value.exit_code is Exit.UNAVAILABLE
    gateway.trouble = None
    gateway.tokens.clear()
    done = cli.run("status")
    assert (done.code, "run `cs-archiver login`" in done.err) == (Exit.REFUSED, True)


def test_a_damaged_login_is_said_and_mended_by_login(gateway: ScriptedGateway, cli: Cli) -> None:
    """Exit 78 with the file's name. `login` replaces it."""
    cli.session_file.write_text("{")
    done = cli.run("jobs")
    assert (done.code, str(cli.session_file) in done.err) == (Exit.CONFIGURATION, True)
    assert cli.run("login", "--user", "alice", stdin=gateway.password).code == Exit.OK


def test_a_prefix_must_be_long_and_unique(gateway: ScriptedGateway, cli: Cli) -> None:
    """At least six characters, across more than one page of jobs. Several candidates are named."""
    for first in ("aaaaaa11", "aaaaaa22", "bbbbbbbb", "cccccccc"):
        gateway.add_job("Alpha", first + str(uuid4())[8:])
    done = cli.run("cancel", "aaaaaa")
    assert done.code == Exit.USAGE
    assert done.err.count("aaaaaa") == 3
    assert cli.run("cancel", "ccccc").code == Exit.USAGE
    assert cli.run("cancel", "CCCCCC").code == Exit.OK
    assert [job.document["status"] for job in gateway.jobs.values()] == ["queued"] * 3 + ["cancelled"]


def test_pause_and_resume(gateway: ScriptedGateway, cli: Cli) -> None:
    """The job says so. A job that can no longer be paused is refused with 5."""
    gateway.add_job("Alpha", "dddddddd" + str(uuid4())[8:])
    (job,) = gateway.jobs.values()
    assert cli.run("pause", "dddddd").code == Exit.OK
    assert job.document["paused"] is True
    assert "paused" in cli.run("jobs").out
    assert cli.run("resume", "dddddd").code == Exit.OK
    assert job.document["paused"] is False
    assert cli.run("cancel", "dddddd").code == Exit.OK
    assert cli.run("pause", "dddddd").code == Exit.CONFLICT


def test_piped_output_is_plain_and_whole(gateway: ScriptedGateway, cli: Cli) -> None:
    """Tab-separated, no escapes, nothing shortened, whatever COLUMNS is. Malicious names cannot control a terminal."""
    name = "Long " * 30 + "\x1b[31m\nred\u202e"
    gateway.folders.append(gateway.folder("Production", "2024", name, 1))
    done = cli.run("folders", "--sort", "size", COLUMNS="40", FORCE_COLOR="1")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert rows[0] == ["FOLDER", "SIZE", "FILES", "MODIFIED", "ARCHIVED"]
    assert rows[1] == ["Production/2024/Alpha", "2.00 GB", "42", "2024-01-15 14:32:01", "no"]
    assert rows[4][0] == "Production/2024/" + "Long " * 30 + r"\x1b[31m\nred\u202e"
    assert "\x1b" not in done.out + done.err
    assert [row["name"] for row in cli.run("folders", "--sort", "size", "--json").json()] == ["Alpha", "Endless", "Broken", name]


@pytest.mark.parametrize("args", [("folders",), ("jobs",), ("job", "aaaaaa"), ("queue",), ("archive", "--wait")])
def test_a_terminal_of_forty_columns(gateway: ScriptedGateway, cli: Cli, args: tuple[str, ...]) -> None:
    """No line is wider than the terminal, and the important parts are still there."""
    gateway.add_job("Endless", "aaaaaaaa" + str(uuid4())[8:])
    done = cli.terminal(*args, *(["Production/2024/Alpha"] if args[0] == "archive" else []), columns=40)
    assert done.code == Exit.OK, done
    if args[0] == "archive":  # the terminal wraps sentences itself; the bar and the figures must fit
        drawn = [line for line in done.lines if "copying  1.00 GB of" in line or "━" in line]
        assert any("100 %" in line for line in drawn), done.lines
        assert any("copying" in line for line in drawn), done.lines
    else:
        drawn = done.lines
        assert "aaaaaaaa" in done.out or args[0] == "folders"
    assert max(map(len, drawn)) <= 40, drawn


def test_follow_prints_each_line_once_and_ends_with_the_job(gateway: ScriptedGateway, cli: Cli) -> None:
    """NDJSON from the first line to the last, in order. A reader that closes the pipe causes no traceback."""
    job = gateway.add_job("Alpha")
    job_id = job.document["job_id"]
    done = cli.run("logs", job_id, "--follow", "--json")
    assert done.code == Exit.OK, done
    assert done.ndjson() == job.logs
    process = cli.start("logs", job_id)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == Exit.PIPE
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == ""


def test_keep_source_and_a_second_request(gateway: ScriptedGateway, cli: Cli) -> None:
    """`--keep-source` reaches the server. An absolute path is accepted unchanged. A second request is a conflict."""
    path = gateway.folders[0]["path"]
    assert cli.run("archive", path + "/", "--keep-source").code == Exit.OK
    assert next(iter(gateway.jobs.values())).document["keep_source"] is True
    done = cli.run("archive", path)
    assert (done.code, done.err) == (Exit.CONFLICT, f"cs-archiver: {path} is being archived already.\n")
    assert cli.run("archive", "Alpha").code == Exit.USAGE


def test_a_folder_that_is_ignored_or_not_listed_gets_the_servers_reason(gateway: ScriptedGateway, cli: Cli) -> None:
    """The list of folders is a hint. A folder that it lacks is still sent to the server."""
    gateway.folders.append({**gateway.folder("Production", "2024", "Bare", 0), "ignored": "empty"})
    done = cli.run("archive", "Production/2024/Bare")
    assert (done.code, done.err) == (
        Exit.USAGE,
        f"cs-archiver: {BASE}/Production/2024/Bare is empty; there is nothing to archive.\n",
    )

    assert "Bare" not in cli.run("folders").out
    rows = [line.split("\t") for line in cli.run("folders", "--ignored").out.splitlines()]
    assert rows[0][-1] == "IGNORED BECAUSE"
    assert {row[0]: row[-1] for row in rows[1:]}["Production/2024/Bare"] == "holds no file"


def test_a_name_in_other_unicode_is_found(gateway: ScriptedGateway, cli: Cli) -> None:
    """A Mac decomposes names. The exact name comes first. If two others differ only in this, both are named and none is used."""
    composed, decomposed = "Caf\u00e9 \u00fc", unicodedata.normalize("NFD", "Caf\u00e9 \u00fc")
    gateway.folders.append(gateway.folder("Production", "2024", decomposed, 1))
    assert cli.run("archive", f"Production/2024/{composed}").code == Exit.OK
    assert [job.document["folder_name"] for job in gateway.jobs.values()] == [decomposed]

    gateway.folders.append(gateway.folder("Production", "2024", "Cafe\u0301 \u00fc", 1))
    done = cli.run("archive", f"Production/2024/{composed}")
    assert (done.code, "Did you mean" in done.err, len(gateway.jobs)) == (Exit.NOT_FOUND, True, 1), done
    gateway.folders.append(gateway.folder("Production", "2024", composed, 1))
    assert cli.run("archive", f"Production/2024/{composed}").code == Exit.OK
    assert [job.document["folder_name"] for job in gateway.jobs.values()] == [decomposed, composed]


class _Notes:
    """A view that records its calls."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.lines: list[str] = []
        self.notices: list[str] = []

    def job(self, doc: Doc[Job]) -> None:
        self.states.append(doc.value.status)

    def log(self, line: LogLine) -> None:
        self.lines.append(line.message)

    def notice(self, sentence: str) -> None:
        self.notices.append(sentence)


def test_watching_outlives_a_restart_of_the_server(gateway: ScriptedGateway) -> None:
    """The client waits for the server and says so once. Each log line comes once. The wait has a limit."""
    gateway.tokens["t"] = "alice"
    job_id = gateway.add_job("Alpha").document["job_id"]
    notes, looks = _Notes(), 0

    def between_looks(_: float) -> None:
        nonlocal looks
        looks += 1
        gateway.trouble = Response(b"", status_code=503) if looks in {3, 4} else None

    with Client(gateway.url, "t") as client:
        assert watch(client, job_id, notes, sleep=between_looks).status == "completed"
        assert notes.lines == [f"-> {state}" for state in dict.fromkeys(notes.states)]
        assert len(notes.notices) == 2
        gateway.trouble = Response(b"", status_code=503)
        with pytest.raises(Failure) as caught:
            watch(client, job_id, notes, patience_s=0)
    assert caught.value.exit_code is Exit.UNAVAILABLE


def test_ctrl_c_anywhere_else(gateway: ScriptedGateway, cli: Cli) -> None:
    """Exit 130 without a traceback while following a log."""
    job_id = gateway.add_job("Endless").document["job_id"]
    process = cli.start("logs", job_id, "--follow")
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (Exit.INTERRUPTED, ""), out


def test_the_history_asks_for_what_was_chosen(gateway: ScriptedGateway, cli: Cli) -> None:
    """Filters and order reach the server. A day's end is the next day's beginning. Names go from A to Z."""
    gateway.add_job("Alpha", status="completed", started_at=NOW, completed_at="2024-01-15T15:32:01Z")
    done = cli.run("history", "Alp", "--status", "failed", "--status", "completed", "--user", "alice", "--limit", "1", TZ="UTC")
    assert done.code == Exit.OK, done
    done = cli.run("history", "--from", "2024-01-15T10:00", "--to", "2024-01-15", "--sort", "name", TZ="UTC")
    assert "\t1h\t" in done.out
    first, second = (parse_qs(request.partition("?")[2]) for request in gateway.requests if "GET /api/jobs?" in request)
    assert first == {
        "sort": ["ended"],
        "order": ["desc"],
        "status": ["failed,completed"],
        "user": ["alice"],
        "q": ["Alp"],
        "limit": ["1"],
        "offset": ["0"],
    }
    assert (second["ended_from"], second["ended_to"]) == (["2024-01-15T10:00:00+00:00"], ["2024-01-16T00:00:00+00:00"])
    assert (second["sort"], second["order"]) == (["name"], ["asc"])
    cli.run("history", "--sort", "size", "--reverse")
    assert "sort=size&order=asc" in gateway.requests[-1]


def test_a_time_that_is_none(gateway: ScriptedGateway, cli: Cli) -> None:
    """Exit 2 with an example, before any request."""
    done = cli.run("history", "--from", "yesterday")
    assert done.code == Exit.USAGE
    assert "--from is a day such as 2026-01-15" in done.err
    assert not any("/api/jobs" in request for request in gateway.requests)
