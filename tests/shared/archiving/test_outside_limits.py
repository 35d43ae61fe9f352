"""A process under resource limits can still make and open archives."""

import sys
from pathlib import Path

import pytest

from shared.files.children import Children, Outcome

UNDER_A_LIMIT = """
import asyncio, ctypes, resource, sys
from pathlib import Path
from shared.archiving.formats import Format
from tests.shared.archiving.trees import PASSWORD, everything, make, picture, unpack

ctypes.CDLL(None).prctl(24, 24)  # PR_CAPBSET_DROP, CAP_SYS_RESOURCE: a program that root starts could raise limits else
which, value = getattr(resource, sys.argv[1]), int(sys.argv[2])
resource.setrlimit(which, (value, value))

async def main(folder):
    tree = everything(folder)
    for form, password in ((Format.SEVENZIP, PASSWORD), (Format.TAR_XZ, None)):
        made, _ = await make(folder, [b"tree"], folder / f"out {form}", form, password)
        await unpack(made[0], folder / f"back {form}", password)
        assert picture(folder / f"back {form}" / "tree", seconds=True) == picture(tree, seconds=True)

asyncio.run(main(Path(sys.argv[3])))
"""


@pytest.mark.parametrize(
    ("which", "value"), [("RLIMIT_AS", 1 << 30), ("RLIMIT_FSIZE", 1 << 20), ("RLIMIT_CPU", 600), ("RLIMIT_NOFILE", 40)]
)
async def test_archives_are_made_and_unpacked_under_a_limit_from_outside(tmp_path: Path, which: str, value: int) -> None:
    arguments = [sys.executable, "-c", UNDER_A_LIMIT, which, str(value), str(tmp_path)]

    assert await Children().run(arguments, cwd=str(Path(__file__).parents[3])) == Outcome(0, b"")
