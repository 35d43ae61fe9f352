"""Data access: the database, the audit log, settings, the host and its disk. Imports `http` and `schemas`."""
