"""Fixtures every test may ask for."""

from tests.support.engines import database, nats_engine, pg
from tests.support.kernel import kernel

__all__ = ["database", "kernel", "nats_engine", "pg"]
