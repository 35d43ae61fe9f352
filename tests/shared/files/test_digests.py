import hashlib
import os
from pathlib import Path

import pytest

from shared.errors import TransientError
from shared.files.digests import digest_file, sync_directory, sync_file
from tests.services.compressor.trees import nothing


@pytest.mark.parametrize("size", [0, 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 9 << 20])
def test_both_digests_in_one_pass(tmp_path: Path, size: int) -> None:
    """At every block boundary they equal hashlib's digest of the whole."""
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    seen: list[int] = []

    facts = digest_file(tmp_path / "f", nothing, seen.append)

    assert (facts.size, facts.sha256, facts.md5) == (size, hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest())
    assert seen[-1:] == [size][: bool(size)]


def test_a_file_that_grows_meanwhile_is_not_digested(tmp_path: Path) -> None:
    """Its digest would describe content that no longer exists."""
    path = tmp_path / "f"
    path.write_bytes(bytes(10))

    def stop() -> None:
        os.truncate(path, 5)

    with pytest.raises(TransientError, match="f changed"):
        digest_file(path, stop)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link in place of an archive is no archive."""
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match="symbolic links"):
        digest_file(tmp_path / "link", nothing)


def test_files_and_directories_can_be_synced(tmp_path: Path) -> None:
    """The file system accepts the sync; nothing else is observable."""
    (tmp_path / "f").write_bytes(b"x")
    sync_file(tmp_path / "f")
    sync_directory(tmp_path)
