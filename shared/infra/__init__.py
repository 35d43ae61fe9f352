"""Postgres, NATS, settings, metrics and migrations: adapters to everything outside this process. Imports `files` and `domain`."""
