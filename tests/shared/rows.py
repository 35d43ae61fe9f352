"""Rows to start from, and the database's result when a role tries a statement."""

from typing import Any
from uuid import UUID

import asyncpg

from tests.support.kernel import MANIFEST_SHA, SHA, Kernel

ALL_KINDS = ("task", "remote", "content")
DENIED = "42501"  # insufficient_privilege
OWNER = "owner"

EVIDENCE = """
INSERT INTO verifications (job_id, attempt, kind, archive_attempt, archive_sha256, manifest_sha256, evidence, place)
VALUES ($1, $2, $3, $4, $5, $6, '{}', (SELECT place FROM destinations WHERE job_id = $1 ORDER BY since DESC LIMIT 1))"""
# The document names exactly the paths that the job holds, as the uploader's does.
TASK = """
INSERT INTO globus_tasks (submission_id, job_id, attempt, purpose, destination_key, request)
SELECT gen_random_uuid(), j.id, coalesce($3, j.attempt), $2, d.key, CASE $2
  WHEN 'removal' THEN jsonb_build_object('endpoint', p.endpoint, 'paths', jsonb_build_array(f.full, f.full || '.manifest.json'))
  ELSE jsonb_build_object('destination_endpoint', p.endpoint, 'items', jsonb_build_array(
    jsonb_build_object('destination_path', f.full), jsonb_build_object('destination_path', f.full || '.manifest.json'))) END
FROM jobs j JOIN destinations d ON d.job_id = j.id JOIN remote_places p ON p.id = d.place
CROSS JOIN LATERAL (SELECT p.base_path || d.path AS full) AS f
WHERE j.id = $1"""


async def tried(kernel: Kernel, role: str, statement: str, *args: Any) -> str:
    """Run a statement as that role and commit. Return the SQLSTATE of the refusal, or "ok"."""
    try:
        if role == OWNER:
            await kernel.owner.execute(statement, *args)
        else:
            async with (await kernel.db(role)).transaction() as session:
                await session.connection.execute(statement, *args)
    except asyncpg.PostgresError as exc:
        return str(exc.sqlstate)
    return "ok"


async def past_the_guard(kernel: Kernel, statement: str, *args: Any) -> None:
    """Run a statement without triggers, for rows that only a defect or an intruder could create."""
    async with kernel.owner.transaction():
        await kernel.owner.execute("SET LOCAL session_replication_role = replica")
        await kernel.owner.execute(statement, *args)


async def evidence(
    kernel: Kernel,
    job: UUID,
    kinds: tuple[str, ...] = ALL_KINDS,
    attempt: int = 1,
    archive_attempt: int = 1,
    sha: str = SHA,
    manifest_sha: str = MANIFEST_SHA,
) -> None:
    """Record evidence past the guard."""
    for kind in kinds:
        await past_the_guard(kernel, EVIDENCE, job, attempt, kind, archive_attempt, sha, manifest_sha)


async def uploaded(kernel: Kernel, **columns: Any) -> UUID:
    """Create a job of attempt 1 in upload_verifying, its archive recorded, no evidence yet."""
    job = await kernel.job()
    await kernel.archive(job)
    await kernel.force(job, **{"status": "upload_verifying", "attempt": 1, **columns})
    return job


async def proven(kernel: Kernel, **columns: Any) -> UUID:
    """Create a verified job with complete evidence."""
    job = await uploaded(kernel, **{"status": "verified", "verified_attempt": 1, **columns})
    await evidence(kernel, job)
    await past_the_guard(kernel, "UPDATE destinations SET state = 'verified' WHERE job_id = $1", job)
    return job
