"""The command line's texts at the end of a job, for each kind of request."""

import pytest

from cli.actions import job_facts
from cli.client import Job, Retries
from cli.sentences import ending


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (
            Job(job_id="a" * 36, folder_name="Scans", status="completed", globus_destination_path="/a.7z", archive_size_bytes=2048),
            "Completed: Scans is at /a.7z (2.00 KB). The source is empty but for its marker.",
        ),
        (
            Job(job_id="a" * 36, folder_name="Scans", status="completed", keep_source=True),
            "Scans is archived. The source was kept.",
        ),
        (Job(job_id="a" * 36, folder_name="Scans", status="cancelled"), "Cancelled: Scans. The source folder was not touched."),
        (
            Job(job_id="a" * 36, folder_name="Cut", kind="pack", status="completed", kept_count=2),
            "Cut is packed. 2 source entries changed, came later or were open for writing, and were kept: `cs-archiver job aaaaaaaa`.",
        ),
        (Job(job_id="a" * 36, folder_name="Cut", kind="pack", status="completed"), "Cut is packed. The folder was deleted."),
        (
            Job(job_id="a" * 36, folder_name="Cut", kind="compress", status="completed", keep_source=True),
            "Completed: Cut is packed.",
        ),
        (Job(job_id="a" * 36, folder_name="c.zip", kind="extract", status="completed", keep_source=True), "c.zip is unpacked."),
        (Job(job_id="a" * 36, folder_name="c.zip", kind="extract", status="cancelled"), "c.zip. What was there was not touched."),
        (Job(job_id="a" * 36, folder_name="c.zip", kind="extract", status="failed", error_message="No."), "Failed: c.zip: No. Try"),
        (
            Job(job_id="a" * 36, folder_name="S", status="failed", error_message="Not readable: x", error_code="refused"),
            "Not readable: x When that is mended: `cs-archiver retry aaaaaaaa`.",
        ),
    ],
)
def test_every_kind_of_job_ends_in_its_own_words(job: Job, words: str) -> None:
    """Only a NAS folder has a marker and a destination. Only packs delete their source."""
    assert words in ending(job)
    assert not ending(job).endswith(" ")


def test_retries_are_counted_over_the_whole_job() -> None:
    """Automatic and manual ones are separate. Without a retry there is no line. Notes are not warnings."""
    once = Job(job_id="a" * 36, folder_name="Scans", status="completed")
    thrice = Job(
        job_id="a" * 36,
        folder_name="Scans",
        status="completed",
        retries=Retries(automatic=2, requested=1),
        notes=["The entries have 2 owners."],
    )

    assert dict(job_facts(once))["retries"] == ""
    assert dict(job_facts(thrice))["retries"] == "2 automatic, 1 requested"
    assert ("note", "The entries have 2 owners.") in job_facts(thrice)
    assert "warning" not in dict(job_facts(thrice))


@pytest.mark.parametrize(
    "code", ["bad-password", "damaged", "truncated", "unsafe-archive", "taken", "archived-already", "not-found"]
)
def test_nobody_is_sent_to_try_what_will_fail_again(code: str) -> None:
    """The same request would fail again, so its sentence says what to do instead."""
    job = Job(
        job_id="a" * 36, folder_name="c.zip", kind="extract", status="failed", error_message="It is damaged.", error_code=code
    )

    assert ending(job) == "Failed: c.zip: It is damaged."
