"""Fixtures every test may ask for."""

import signal

from tests.support.engines import database, nats_engine, pg
from tests.support.films import films
from tests.support.kernel import kernel
from tests.support.nas import nas, ordinary_user, public_path

__all__ = ["database", "films", "kernel", "nas", "nats_engine", "ordinary_user", "pg", "public_path"]

# A shell that runs us in the background has us ignore Ctrl-C, and every program we start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
