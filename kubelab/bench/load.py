"""A load generator that costs little itself: HTTP/1.1 over TLS on raw asyncio, one request in flight a connection.

Models: wrk, as far as it is used here
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
Next = Callable[[], bytes | None]  # the bytes of the next request, None when there are no more


@dataclass(slots=True)
class Result:
    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    bytes: int = 0

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.seconds

    def quantile_ms(self, q: float) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1000

    def check(self, status: int) -> Result:
        """Raise RuntimeError unless every answer had `status`: a fast refusal is no result."""
        if set(self.statuses) != {status}:
            raise RuntimeError(f"wanted only {status} answers, got {self.statuses}")
        return self


class _Connection(asyncio.Protocol):
    def __init__(self, next_request: Next, result: Result, done: asyncio.Future[None]) -> None:
        self._next, self._result, self._done = next_request, result, done
        self._buffer, self._want, self._sent = bytearray(), -1, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        request = self._next()
        if request is None:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._buffer, self._want, self._sent = bytearray(), -1, time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._want < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            match = LENGTH.search(self._buffer, 0, end + 2)
            if match is None:
                raise RuntimeError(f"an answer without Content-Length: {self._buffer[:200]!r}")
            self._want = end + 4 + int(match[1])
        if len(self._buffer) >= self._want:
            status = int(self._buffer[9:12])
            result = self._result
            result.statuses[status] = result.statuses.get(status, 0) + 1
            result.latencies_s.append(time.perf_counter() - self._sent)
            result.bytes += len(self._buffer)
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the server closed the connection"))


async def run(port: int, context: ssl.SSLContext, next_request: Next, connections: int) -> Result:
    """Send requests over `connections` connections until `next_request` gives None on each."""
    loop, result = asyncio.get_running_loop(), Result()
    waits = [loop.create_future() for _ in range(connections)]
    began = time.perf_counter()
    for wait in waits:
        await loop.create_connection(lambda w=wait: _Connection(next_request, result, w),  # type: ignore[misc]
                                     "127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
    await asyncio.gather(*waits)
    result.seconds = time.perf_counter() - began
    return result


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return the bytes of one HTTP/1.1 request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster in a process of its own."""

    kubeconfig: Path
    pid: int

    def resident_mb(self) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu_s(self) -> float:
        parts = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def cluster(*options: str) -> Iterator[Target]:
    """Run `kubelab up` with `options` as a process and stop it in the end."""
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        command = [sys.executable, "-m", "kubelab", "up", "--quiet", "--kubeconfig", str(kubeconfig), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("ready"):
                raise RuntimeError(f"kubelab up did not start: {line}")
            yield Target(kubeconfig, process.pid)
        finally:
            process.terminate()
            process.wait(30)
