"""A log of JSON lines that is renamed when it is full, so that no disk fills up.

    write ─► gathered until the loop turns ─► one write to the file ─► full? audit.log ─► audit-<time>.log, oldest go

Invariant: a line is never torn across two files.
Models:    kube-apiserver's --audit-log-path, -maxsize, -maxbackup and -maxage (natefinch/lumberjack)
Left out:  compression
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from kubelab.machinery import metrics
from kubelab.machinery.clock import Clock

log = logging.getLogger("kubelab")
ERRORS = metrics.counter("apiserver_audit_error_total", "Counter of audit events that failed to be audited properly. "
                         "Plugin identifies the plugin affected by the error.", ("plugin",))
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
        data, lines = b"\n".join(self._pending) + b"\n", len(self._pending)
        self._pending.clear()
        try:
            if self._path is not None and self._size and self._size + len(data) > self._limit:
                self._rotate()
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view):]
        except OSError as error:
            ERRORS.add(("log",), lines)
            log.error("%d audit events are lost, for %s cannot be written: %s", lines, self._path or "stdout", error)
        self._size += len(data)

    def _rotate(self) -> None:
        assert self._path is not None
        full = self._fd
        moment = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        self._path.rename(self._path.with_name(f"{self._path.stem}-{moment}{self._path.suffix}"))
        self._fd, self._size = self._open()
        os.close(full)  # only now: had the new one failed, a closed number might be somebody's socket next
        backups = sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"), reverse=True)
        for number, backup in enumerate(backups):
            old = self._max_days and self._clock.now() - backup.stat().st_mtime > self._max_days * DAY_S
            if old or (self._max_backups and number >= self._max_backups):
                backup.unlink()

    def close(self) -> None:
        self.flush()
        if self._path is not None:
            os.close(self._fd)
