"""Fixtures every test may ask for."""

from tests.support.engines import database, nats_engine, pg
from tests.support.kernel import kernel
from tests.support.nas import nas, ordinary_user, public_path

__all__ = ["database", "kernel", "nas", "nats_engine", "ordinary_user", "pg", "public_path"]
