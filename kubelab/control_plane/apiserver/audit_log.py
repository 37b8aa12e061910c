"""A log of JSON lines that is renamed when it is full, so that no disk fills up.

    write ─► gathered until the loop turns ─► one write to the file ─► full? audit.log ─► audit-<time>.log, oldest go

Invariant: a line is never torn across two files.
Models:    kube-apiserver's --audit-log-path, -maxsize, -maxbackup and -maxage (natefinch/lumberjack)
Left out:  compression
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from kubelab.machinery.clock import Clock

MEGABYTE = 1024 * 1024
DAY_S = 86_400


class AuditLog:
    """Appends lines to a file; "-" is standard output. A limit of 0 is none, of `max_mb` the 100 MB of upstream."""

    def __init__(self, path: Path | str, clock: Clock, *, max_mb: float = 100, max_backups: int = 0,
                 max_days: int = 0) -> None:
        self._clock, self._limit = clock, int((max_mb or 100) * MEGABYTE)
        self._max_backups, self._max_days = max_backups, max_days
        self._path = None if str(path) == "-" else Path(path)
        self._pending: list[bytes] = []
        self._fd, self._size = self._open()

    def _open(self) -> tuple[int, int]:
        if self._path is None:
            return sys.stdout.fileno(), 0
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return fd, os.fstat(fd).st_size

    def write(self, line: bytes) -> None:
        """Take one line, without its line feed."""
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(line)

    def flush(self) -> None:
        """Write what has been gathered."""
        if not self._pending:
            return
        data = b"\n".join(self._pending) + b"\n"
        self._pending.clear()
        if self._path is not None and self._size and self._size + len(data) > self._limit:
            self._rotate()
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view):]
        self._size += len(data)

    def _rotate(self) -> None:
        assert self._path is not None
        os.close(self._fd)
        moment = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        self._path.rename(self._path.with_name(f"{self._path.stem}-{moment}{self._path.suffix}"))
        self._fd, self._size = self._open()
        backups = sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"), reverse=True)
        for number, backup in enumerate(backups):
            old = self._max_days and self._clock.now() - backup.stat().st_mtime > self._max_days * DAY_S
            if old or (self._max_backups and number >= self._max_backups):
                backup.unlink()

    def close(self) -> None:
        self.flush()
        if self._path is not None:
            os.close(self._fd)
