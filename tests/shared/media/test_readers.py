"""The spare child: it answers one request and ends, another replaces it, and none outlives its parent."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from shared.errors import PermanentError
from shared.media import limits, reader
from shared.media.reader import TOO_LONG, Cost, Readers, Shape


def waiting() -> list[int]:
    """Return this process's children that read media."""
    return [child.pid for child in psutil.Process().children(recursive=True) if is_reader(child)]


def is_reader(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[1:4] == ["-I", "-m", "shared.media.probe"]  # not its launcher, which has no limits yet
    except psutil.NoSuchProcess:
        return False


async def one_waits() -> int:
    """Return its pid once it is ready."""
    deadline = time.monotonic() + 60
    while len(found := waiting()) != 1:
        assert time.monotonic() < deadline, f"one child should wait; there are {found}"
        await asyncio.sleep(0.01)
    return found[0]


@pytest.fixture
def film(films: Path) -> Iterator[int]:
    handle = os.open(films / "h264.mp4", os.O_RDONLY)
    yield handle
    os.close(handle)


@pytest.fixture
async def readers() -> AsyncIterator[Readers]:
    async with Readers() as made:
        yield made
    assert waiting() == []


async def test_who_asks_once_leaves_nothing(film: int) -> None:
    """Without the block, no child is kept."""
    assert (await reader.info(film, "h264.mp4")).format == "MP4"
    assert waiting() == []


async def test_one_child_waits_for_the_next_question(readers: Readers, film: int) -> None:
    """None before the first request. Then there is always a spare one, which answers as a fresh one does and ends."""
    assert waiting() == []
    first = await reader.info(film, "h264.mp4", readers=readers)
    pid = await one_waits()
    again = await reader.info(film, "h264.mp4", readers=readers)
    next_pid = await one_waits()
    picture = await reader.thumbnail(film, 1.0, Shape(), readers=readers)

    assert again == first
    assert picture.seconds == (await reader.thumbnail(film, 1.0, Shape())).seconds
    assert len({pid, next_pid, await one_waits()}) == 3


async def test_more_questions_than_waiting_children(readers: Readers, film: int, films: Path) -> None:
    """Each is answered by its own child; one is left."""
    sound = os.open(films / "sound.flac", os.O_RDONLY)
    try:
        answers = await asyncio.gather(*(reader.info(handle, "", readers=readers) for handle in (film, sound, film, sound)))
    finally:
        os.close(sound)

    assert [answer.format for answer in answers] == ["MP4", "FLAC", "MP4", "FLAC"]
    await one_waits()


async def test_a_child_that_died_waiting_is_no_answer(readers: Readers, film: int) -> None:
    """Whatever killed it, the request goes to a new one."""
    await reader.info(film, "", readers=readers)
    spare = readers._spare
    assert spare is not None
    psutil.Process(await one_waits()).kill()
    await asyncio.wait_for(asyncio.shield(spare.life), 60)

    assert (await reader.info(film, "", readers=readers)).format == "MP4"


async def test_a_child_that_never_got_its_question_ends(readers: Readers, film: int) -> None:
    """The open file cannot be opened again. The failure is reported, and no child waits permanently."""
    with pytest.raises(FileNotFoundError):
        await reader.info(1_000_000, "", readers=readers)
    pid = await one_waits()

    assert (await reader.info(film, "", readers=readers)).format == "MP4"
    assert await one_waits() != pid


async def test_the_limits_hold_while_it_waits(readers: Readers, film: int) -> None:
    """It is limited before it gets a request."""
    await reader.info(film, "", readers=readers)
    lines = Path(f"/proc/{await one_waits()}/limits").read_text().splitlines()
    found = {line[:26].strip(): line[26:].split()[0] for line in lines}

    assert found["Max address space"] == str(limits.MEMORY_BYTES)
    assert (found["Max cpu time"], found["Max file size"]) == (str(limits.CPU_S), "0")


async def test_a_refusal_costs_one_child_only(film: int) -> None:
    """A child that takes too long is ended. The next request is answered."""
    async with Readers(Cost(timeout_s=0.001)) as hasty:
        for _ in range(2):
            with pytest.raises(PermanentError) as refused:
                await reader.info(film, "", readers=hasty)
            assert refused.value.code == TOO_LONG
        await one_waits()
    assert waiting() == []
