"""`cs-archiver destroy --yes`: remove everything that the embedded edition created, including the emulated destination."""

import os

from devstack.processes import report
from devstack.up import data_dir_of, destroy
from shared.errors import ArchiverError


def main() -> int:
    """Remove DATA_DIR and its database. The caller has checked `--yes`. Returns the exit code."""
    data_dir = data_dir_of(os.environ)
    try:
        destroy(data_dir)
    except ArchiverError as exc:
        report(str(exc))
        return 1
    report(f"Removed {data_dir} and its database.")
    return 0
