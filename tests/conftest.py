"""Fixtures every test may ask for."""

import signal

from hypothesis import HealthCheck, settings

from tests.support.clocked import whole_seconds
from tests.support.engines import database, nats_engine, pg
from tests.support.films import films
from tests.support.kernel import kernel
from tests.support.nas import nas, ordinary_user, public_path
from tests.support.stuck import stuck

__all__ = ["database", "films", "kernel", "nas", "nats_engine", "ordinary_user", "pg", "public_path", "stuck", "whole_seconds"]

# The same examples in every run, and no test fails because its machine is busy.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# A shell that runs the tests in the background makes them ignore Ctrl-C, and `nohup` makes them ignore a hang-up. Every program that
# they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
