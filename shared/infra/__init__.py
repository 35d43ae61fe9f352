"""Postgres, NATS, settings, metrics and migrations: adapters to what runs outside this process. Imports `files` and `domain`."""
