"""The log file of a container: written once, read by many."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kubelab.node.runtime.process_log import LogFile, stamp


async def read(log: LogFile, **options: object) -> list[bytes]:
    return [line async for line in log.read(**options)]  # type: ignore[arg-type]


async def test_lines_keep_their_time_and_stream(tmp_path: Path) -> None:
    """The file has CRI's format, the reader the bare lines, or with their times."""
    log = LogFile(tmp_path / "log")
    log.write(1, b"one\ntw", 1767323045.5)
    log.write(2, b"oops\n", 1767323046)
    log.write(1, b"o\n", 1767323047)
    assert (tmp_path / "log").read_bytes().splitlines() == [
        b"2026-01-02T03:04:05.500000000Z stdout F one", b"2026-01-02T03:04:06.000000000Z stderr F oops",
        b"2026-01-02T03:04:07.000000000Z stdout F two"]
    assert await read(log) == [b"one\n", b"oops\n", b"two\n"]
    assert (await read(log, timestamps=True))[0] == b"2026-01-02T03:04:05.500000000Z one\n"
    assert await read(log, since=1767323046) == [b"oops\n", b"two\n"]
    assert await read(log, limit_bytes=5) == [b"one\n", b"o"]


@pytest.mark.parametrize(("lines", "expected"), [(0, 0), (1, 1), (3, 3), (500, 500), (5000, 1000)])
async def test_tail(tmp_path: Path, lines: int, expected: int) -> None:
    """`tail_lines` gives the last lines, however long the file."""
    log = LogFile(tmp_path / "log")
    for number in range(1000):
        log.write(1, f"{number} {'x' * 200}\n".encode(), 0)
    found = await read(log, tail_lines=lines)
    assert [int(line.split()[0]) for line in found] == list(range(1000 - expected, 1000))


async def test_followers_get_everything_across_rotation(tmp_path: Path) -> None:
    """Followers see every line once, in order, also while the file is rotated, and end with the container."""
    log = LogFile(tmp_path / "log", max_bytes=5000)
    followers = [asyncio.create_task(read(log, follow=True)) for _ in range(3)]
    for number in range(300):
        log.write(1, f"{number}\n".encode(), 0)
        await asyncio.sleep(0)
    log.write(1, b"unfinished", 0)
    log.close(0)
    expected = [f"{number}\n".encode() for number in range(300)] + [b"unfinished\n"]
    for follower in followers:
        assert await asyncio.wait_for(follower, 5) == expected
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * 5100


async def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    """A program that never ends its line fills neither memory nor one line of the file; the reader sees it whole."""
    log = LogFile(tmp_path / "log")
    log.write(1, b"x" * 100_000, 0)
    log.close(0)
    assert b"".join(await read(log)) == b"x" * 100_000 + b"\n"
    assert max(map(len, (tmp_path / "log").read_bytes().splitlines())) < 20_000


def test_stamp_does_not_lose_a_nanosecond_to_the_next_second() -> None:
    """A time just below a full second is written as itself or as that second, never as 10 digits."""
    assert stamp(0.9999999999) == b"1970-01-01T00:00:01.000000000Z"
