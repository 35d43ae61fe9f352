"""Prove that an archive has arrived, and record the proof."""

import shutil
from uuid import UUID

import msgspec

from services.uploader import paths
from services.uploader.case import Case, UploadTools, is_here
from services.uploader.decide import proofs, running_task
from services.uploader.decide.proofs import CarriedOut, Expected, ExpectedFile, RunRecheck
from services.uploader.model import Purpose, Rejection, Transferred, TransferRequest
from services.uploader.rows import Archive
from services.uploader.sending import items_of, load, store, watch
from services.uploader.submissions import Stored
from shared import faults, units
from shared.domain.lifecycle import Status
from shared.errors import Operation, TransientError
from shared.infra.db import Session
from shared.service import stagings

_RECHECKS = 3  # a recheck that moved bytes repaired something; after the third the attempt ends


async def verify(case: Case) -> None:
    work = case.work
    if work.status is not Status.UPLOAD_VERIFYING:
        await work.advance(Status.UPLOAD_VERIFYING, "Verifying the upload")
    if await work.value("proven", work.id) is None:
        await _prove(case)
    faults.point("uploader.evidence")
    await _remove_local(case)
    faults.point("uploader.local_removed")

    async def facts(session: Session) -> None:
        await session.run("release_space", work.id)

    await work.advance(Status.VERIFIED, "Waiting for the source to be emptied", facts=facts, keep_lease=False)


async def _prove(case: Case) -> None:
    """Collect the three verifications and record them together. Raises TransientError when one is rejected."""
    work = case.work
    last, transfers, recheck = await _carried_out(case)
    task = proofs.verify_task(transfers[-1].task, transfers[-1].request)
    if isinstance(task, Rejection):
        await _reject(case, last, task)
    await _sizes(case, last)
    await work.info(
        "verified_task", f"Verification 1 of 3: Globus task {transfers[-1].task.task_id} succeeded, both files dealt with."
    )
    for number in range(_RECHECKS + 1):
        content = proofs.verify_content(case.expected, transfers, recheck, case.tools.policy)
        if isinstance(content, Rejection):
            await _reject(case, last, content)
        if not isinstance(content, RunRecheck):
            break
        if number == _RECHECKS:
            raise TransientError(f"The second reading found differences each time: {content.reason}", Operation.UPLOAD)
        if content.repaired:
            await work.warn("recheck_repaired", f"{content.reason} It is read once more.")
        recheck = await _recheck(case, transfers[-1].request)
    remote = await _sizes(case, last)
    await work.info("verified_remote", "Verification 2 of 3: archive and manifest are at the destination with their exact sizes.")
    assert isinstance(content, proofs.ContentProof), "the loop ends with a proof, or raises"
    if content.recheck_task_id is None:
        await work.warn("recheck_off", "REMOTE_RECHECK is off: the remote files were not read a second time.")
    said = "the digests are ours" + (", read a second time and equal" if content.recheck_task_id else "")
    await work.info("verified_content", f"Verification 3 of 3: {said}.")
    await _record(case, {"task": task, "remote": remote, "content": content})


async def _carried_out(case: Case) -> tuple[Stored, list[CarriedOut], CarriedOut | None]:
    """Return this job's transfers of this archive since the last removal, and the newest recheck after the last of them."""
    stored = await case.tools.submissions.load(case.key, case.work.id)
    removals = [i for i, s in enumerate(stored) if s.view.purpose is Purpose.REMOVAL and not s.view.refused]
    since = stored[removals[-1] + 1 :] if removals else stored
    ours = [s for s in since if s.counts and s.view.own and not s.view.refused and s.view.archive_sha256 == case.archive.sha256]
    transfers = [s for s in ours if s.view.purpose is Purpose.TRANSFER and not s.is_open]
    if not transfers:
        raise TransientError("There is no finished transfer to verify.", Operation.UPLOAD)
    rechecks = [s for s in ours[ours.index(transfers[-1]) :] if s.view.purpose is Purpose.RECHECK]
    running = next((s for s in rechecks if s.is_open), None)
    if running is not None:
        recheck: CarriedOut | None = await _finish_recheck(case, running)
    else:
        recheck = await _done(case, rechecks[-1]) if rechecks else None
    return transfers[-1], [await _done(case, s) for s in transfers], recheck


async def _done(case: Case, stored: Stored) -> CarriedOut:
    assert isinstance(stored.request, TransferRequest)
    task = stored.view.task
    assert task is not None, "finished submissions have a task"
    moved: tuple[Transferred, ...] = ()
    if task.status == "SUCCEEDED":
        moved = tuple(await case.tools.globus.successful_transfers(task.task_id))
    return CarriedOut(request=stored.request, task=task, moved=moved)


async def _recheck(case: Case, transfer: TransferRequest) -> CarriedOut:
    """Have Globus read the remote again and compare: a second task over both files, by checksum (custody 4.3)."""
    submissions, work = case.tools.submissions, case.work
    items = items_of(case.expected, transfer.items[0].checksum_algorithm)
    request = await submissions.transfer_request(work.id, work.attempt, Purpose.RECHECK, case.destination.place, items)
    await store(case, request, Purpose.RECHECK)
    faults.point("uploader.recheck_stored")
    await submissions.send(await load(case, request.submission_id))
    return await _finish_recheck(case, await load(case, request.submission_id))


async def _finish_recheck(case: Case, stored: Stored) -> CarriedOut:
    if stored.view.task is None:
        await case.tools.submissions.send(stored)
        stored = await load(case, stored.id)
    outcome = await watch(case, stored, "Reading the remote a second time", case.total)
    if isinstance(outcome, running_task.FailedAttempt):
        raise TransientError(f"The second reading did not succeed: {outcome.reason}", outcome.operation)
    return await _done(case, await load(case, stored.id))


async def _sizes(case: Case, last: Stored) -> proofs.RemoteProof:
    archive, sidecar = [await case.tools.globus.stat(case.destination.place.endpoint, name) for name in case.destination.names]
    proof = proofs.verify_remote(archive, sidecar, case.expected)
    if isinstance(proof, Rejection):
        await _reject(case, last, proof)
    assert isinstance(proof, proofs.RemoteProof)
    return proof


async def _reject(case: Case, stored: Stored, rejection: Rejection) -> None:
    """Record that this transfer's result was rejected, so that it is never verified again, and end the attempt."""
    why = msgspec.to_builtins(rejection)
    await case.work.run("reject_submission", UUID(stored.id), why)
    raise TransientError(f"Upload verification failed: {rejection.reason}", Operation.UPLOAD)


async def _record(case: Case, proofs: dict[str, msgspec.Struct]) -> None:
    work, archive = case.work, case.archive
    faults.point("uploader.proven")
    async with work.transaction() as session:
        for kind, proof in proofs.items():
            await session.run(
                "record_evidence",
                job_id=work.id,
                attempt=work.attempt,
                kind=kind,
                archive_attempt=archive.attempt,
                archive_sha256=archive.sha256,
                manifest_sha256=archive.manifest_sha256,
                evidence=msgspec.to_builtins(proof),
                endpoint=case.destination.place.endpoint,
                base_path=case.destination.place.base,
            )


async def _remove_local(case: Case) -> None:
    """Remove the local copy of a proven archive, with every attempt's directory of this job."""
    directory = case.tools.archives / str(case.work.id)
    size, path = case.archive.size, str(stagings.located(case.tools.archives, case.archive.archive_path))
    result = "deleted" if directory.exists() else "gone already"
    if not await case.work.in_thread(is_here, case.tools, case.archive):
        # That staging's own compressor removes the files of ended jobs there.
        result, path = "left to its staging", f"{case.archive.archive_path} on staging {case.archive.staging}"
    elif directory.exists():
        await case.work.in_thread(shutil.rmtree, directory)
    await case.work.info(
        "delete_archive", f"Local archive {result}: {path} ({units.size(size)}).", path=path, size=size, result=result
    )


async def sizes_now(tools: UploadTools, archive: Archive, destination: paths.Destination) -> str | None:
    """Return what is wrong with the sizes at the destination now; None when both are right. Raises what the adapter raises."""
    found = [await tools.globus.stat(destination.place.endpoint, name) for name in destination.names]
    # Only the remote files are compared. The paths of the local files do not matter any more.
    sizes = Expected(
        ExpectedFile(source_path="", destination_path=destination.archive, size=archive.size, sha256="", md5=""),
        ExpectedFile(source_path="", destination_path=destination.sidecar, size=archive.manifest_size, sha256="", md5=""),
    )
    proof = proofs.verify_remote(found[0], found[1], sizes)
    return proof.reason if isinstance(proof, Rejection) else None
