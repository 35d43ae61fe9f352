"""What the uploader does next, and what it accepts as a proof: pure decisions, no I/O.

Four questions, each answered by one module and one table of tests: how a running task goes on (`running_task`), whether what arrived
is proven (`proofs`), whose the destination is (`ownership`), and what a job that was just claimed needs (`claimed_job`). Whatever is
not known decides for waiting or for doing it again, never for deleting.
"""
