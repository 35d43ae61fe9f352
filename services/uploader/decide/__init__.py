"""Decide what the uploader does next, and what it accepts as a proof: pure decisions, no I/O.

Each of four questions has one module and one table of tests: how a running task continues (`running_task`), whether the files that
arrived are proven (`proofs`), who owns the destination (`ownership`), and what a job that was just claimed needs (`claimed_job`).
Anything unknown leads to waiting or to a repetition, never to a deletion.
"""
