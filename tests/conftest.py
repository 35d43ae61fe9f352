"""Fixtures every test may ask for."""

from tests.support.engines import database, nats_engine, pg

__all__ = ["database", "nats_engine", "pg"]
