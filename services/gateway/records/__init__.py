"""What the gateway reads and writes: the database, the audit log, settings, the host and its disk. Imports `http`, `schemas`."""
