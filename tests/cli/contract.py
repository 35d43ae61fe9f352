"""The contract between the command line and any gateway. A subclass provides the fixture `gateway`; the scripted one is the first.

For the real gateway: `class TestRealGateway(GatewayContract)` with a `gateway` fixture of type `Gateway`. Its NAS holds three
folders: `ready` (archives successfully), `failing` (its job fails) and `endless` (still running when it is cancelled).
"""

from pathlib import Path
from typing import Protocol

import pytest

from cli.client import Client
from cli.exits import Exit
from tests.cli.runner import Cli, interrupt_once

JOB_FIELDS = {
    *("job_id", "folder_name", "status", "progress_percent", "current_operation", "created_by", "created_at", "started_at"),
    *("completed_at", "error_message"),
}
# Fields that clients rely on: extra fields are allowed, missing ones are a defect.
FIELDS = {
    "folders": {"path", "name", "level1", "level2", "size_bytes", "size_human", "modified_at", "file_count", "is_archived"},
    "jobs": JOB_FIELDS,
    "job": JOB_FIELDS
    | {"source_path", "globus_destination_path", "folder_size_bytes", "archive_size_bytes", "retry_count", "globus_task_id"},
    "archive": {"job_id", "status", "folder_name", "created_at"},
    "retry": {"job_id", "status", "retry_count"},
    "logs": {"timestamp", "level", "message"},
    "queue": {"current_copy_compress_job", "current_upload_job", "queued_jobs"},
    "status": {"disk_space", "workers", "statistics"},
}


class Gateway(Protocol):
    url: str
    username: str
    password: str
    ready: str
    failing: str
    endless: str


class GatewayContract:
    @pytest.fixture
    def cli(self, gateway: Gateway, tmp_path: Path) -> Cli:
        """The program, logged in (without a separate process: `test_login_and_logout` runs the real login)."""
        cli = Cli(tmp_path, gateway.url)
        with Client(gateway.url) as client:
            cli.store_login(gateway.username, client.login(gateway.username, gateway.password).access_token)
        return cli

    def test_every_reading_command_prints_the_servers_document(self, gateway: Gateway, cli: Cli) -> None:
        """`--json` prints one document with at least the promised fields, and nothing else on stdout."""
        job = cli.run("archive", gateway.endless, "--json").json()
        assert job.keys() >= FIELDS["archive"]
        job_id = job["job_id"]
        assert cli.run("job", job_id, "--json").json().keys() >= FIELDS["job"]
        for command, option in (("folders", "--refresh"), ("jobs", "--limit=3")):
            rows = cli.run(command, option, "--json").json()
            assert rows, command
            assert all(row.keys() >= FIELDS[command] for row in rows), command
        assert all(line.keys() >= FIELDS["logs"] for line in cli.run("logs", job_id, "--json").json())
        for command in ("queue", "status"):
            assert cli.run(command, "--json").json().keys() >= FIELDS[command], command
        assert cli.run("clear", job_id).code == Exit.CONFLICT
        assert cli.run("cancel", job_id).code == Exit.OK

    def test_wait_follows_a_job_to_its_good_end(self, gateway: Gateway, cli: Cli) -> None:
        """Exit 0. Only the id is on stdout; states, figures and log sentences are on stderr."""
        done = cli.run("archive", gateway.ready, "--wait")
        assert done.code == Exit.OK, done
        assert len(done.out.strip()) == 36, done.out
        assert "100 %" in done.err
        assert "Completed: " in done.err
        ended = cli.run("history", "--status", "completed", "--json").json()
        assert ended[0]["job_id"] == done.out.strip()
        facts = dict(line.split("\t", 1) for line in cli.run("job", done.out.strip()[:8]).out.splitlines())
        assert facts["status"] == "completed"
        assert facts["destination"].endswith(".tar.7z")

    def test_wait_tells_of_a_failure_and_retry_queues_it_again(self, gateway: Gateway, cli: Cli) -> None:
        """Exit 1 with the reason and the next step. NDJSON ends with the final state. `retry` returns the job."""
        done = cli.run("archive", gateway.failing, "--wait", "--json")
        assert done.code == Exit.JOB
        assert done.ndjson()[-1]["status"] == "failed"
        assert "retry" in done.err
        job_id = done.ndjson()[-1]["job_id"]
        assert cli.run("cancel", job_id).code == Exit.CONFLICT
        cleared = cli.run("clear", job_id)
        assert (cleared.code, "Nothing is erased" in cleared.err) == (Exit.OK, True), cleared
        assert cli.run("retry", job_id[:8], "--json").json().keys() >= FIELDS["retry"]
        assert cli.run("logs", job_id, "--level", "error", "--json").json()[0]["level"] == "ERROR"

    def test_ctrl_c_leaves_the_job_running(self, gateway: Gateway, cli: Cli) -> None:
        """Exit 130, and the message says that the job continues. After a cancel, waiting for it exits with 1."""
        done = interrupt_once(cli.start("archive", gateway.endless, "--wait"), "copying")
        assert done.code == Exit.INTERRUPTED, done
        assert "The job goes on." in done.err
        job_id = done.out.strip()
        assert cli.run("job", job_id, "--json").json()["status"] not in {"cancelled", "failed"}
        assert cli.run("cancel", job_id).code == Exit.OK
        done = cli.run("job", job_id[:8], "--wait")
        assert done.code == Exit.JOB
        assert "Cancelled" in done.err

    def test_what_is_not_there(self, gateway: Gateway, cli: Cli) -> None:
        """Exit 4 for an unknown job, prefix or folder. A misspelt folder gets a suggestion."""
        assert cli.run("job", "00000000-0000-4000-8000-000000000000").code == Exit.NOT_FOUND
        assert cli.run("job", "00000000").code == Exit.NOT_FOUND
        done = cli.run("archive", gateway.ready + "x")
        assert done.code == Exit.NOT_FOUND
        assert f"Did you mean {gateway.ready}" in done.err

    def test_login_and_logout(self, gateway: Gateway, cli: Cli) -> None:
        """Exit 3 for a wrong password (which keeps the current login) and after logout. The sentence says what to do."""
        wrong = cli.run("login", "--user", gateway.username, stdin="wrong\n")
        assert wrong.code == Exit.REFUSED, wrong
        assert cli.run("jobs").code == Exit.OK
        assert cli.run("logout").code == Exit.OK
        assert not cli.session_file.exists()
        done = cli.run("jobs")
        assert (done.code, "cs-archiver login" in done.err) == (Exit.REFUSED, True)
        assert cli.run("login", "--user", gateway.username, CS_ARCHIVER_PASSWORD=gateway.password).code == Exit.OK
        assert cli.run("jobs").code == Exit.OK
