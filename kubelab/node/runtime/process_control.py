"""The near end of the shim: start it, give it work, hear what became of it.

    ShimHandle ── {"op": "start", …} + stdin, stdout, stderr ──► shim
               ◄─ {"event": "started" | "failed" | "exited", …} ──

Invariant: every id that was started has its future set once, also when the shim itself dies.
Models:    containerd's client of the shim's ttrpc service
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("kubelab")
PYTHON = (sys.executable, "-S", "-E", "-I")


class ShimError(Exception):
    """The program could not be started; the message is runc's."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended."""

    code: int
    signal: int = 0
    oom: bool = False


@dataclass(slots=True)
class _Pending:
    started: asyncio.Future[int]  # its pid
    exited: asyncio.Future[Exit]


class ShimHandle:
    """One shim process, for all nodes of a cluster. `start` may be called by each; the last `stop` ends it."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.pid = 0
        self.problem = ""  # why containers cannot have private roots, "" when they can
        self.on_lost: list[Callable[[], None]] = []
        self._users = 0
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._pending: dict[str, _Pending] = {}
        self._inbound = bytearray()
        self._sending = asyncio.Lock()

    @property
    def private(self) -> bool:
        return not self.problem

    async def start(self) -> None:
        """Start the shim, or share the one that runs. It need not be ready yet: see `ready`."""
        self._users += 1
        if self._ready is None:
            self._launch()

    async def ready(self) -> None:
        """Return when the shim answers, started anew if someone killed it. From then on `private` is known."""
        if self._ready is None:
            self._launch()
        assert self._ready is not None
        await asyncio.shield(self._ready)

    def _launch(self) -> None:
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        self.state_dir.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        env = {"KUBELAB_STATE": str(self.state_dir), "PATH": os.environ.get("PATH", os.defpath)}
        command = [*PYTHON, str(Path(__file__).with_name("process_shim.py")), str(theirs.fileno()), str(self.state_dir)]
        self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, env=env, cwd="/", start_new_session=True)
        theirs.close()
        self._socket = ours
        loop.add_reader(ours.fileno(), self._on_readable)

    async def stop(self) -> None:
        """Let go of the shim; the last user ends it, and with it whatever still runs."""
        self._users = max(0, self._users - 1)
        if self._users or self._socket is None:
            return
        process = self._process
        self._disconnect()
        if process is not None:
            await asyncio.to_thread(process.wait)

    def _disconnect(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        self._socket = self._process = self._ready = None
        self._inbound.clear()
        pending, self._pending = self._pending, {}
        for one in pending.values():
            if not one.started.done():
                one.started.set_exception(ShimError("the shim process is gone"))
                one.started.exception()  # nobody may be waiting any more
            if not one.exited.done():
                one.exited.set_result(Exit(137, signal.SIGKILL))

    async def run(self, spec: dict[str, Any], streams: Sequence[int]) -> tuple[int, asyncio.Future[Exit]]:
        """Start a process on these streams; return its pid and the future of its end. Raises: ShimError."""
        loop = asyncio.get_running_loop()
        pending = self._pending[spec["id"]] = _Pending(loop.create_future(), loop.create_future())
        try:
            await self._send(spec, streams)
            return await pending.started, pending.exited
        except ShimError:
            self._pending.pop(spec["id"], None)
            raise

    async def kill(self, id: str, number: int) -> None:
        """Send a signal to the process group of `id`, if it still lives."""
        if id in self._pending:
            await self._send({"op": "kill", "id": id, "signal": int(number)}, ())

    async def _send(self, message: dict[str, Any], streams: Sequence[int]) -> None:
        body = json.dumps(message).encode()
        data = memoryview(struct.pack(">I", len(body)) + body)
        fds = list(streams)
        async with self._sending:
            while data:
                if self._socket is None:
                    raise ShimError("the shim process is gone")
                try:
                    sent = socket.send_fds(self._socket, [data], fds) if fds else self._socket.send(data)
                except BlockingIOError:
                    await self._writable(self._socket)
                    continue
                except OSError as error:
                    raise ShimError(f"the shim process is gone: {error.strerror}") from None
                data, fds = data[sent:], []

    @staticmethod
    async def _writable(sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        free: asyncio.Future[None] = loop.create_future()
        loop.add_writer(sock.fileno(), lambda: None if free.done() else free.set_result(None))
        try:
            await free
        finally:
            loop.remove_writer(sock.fileno())

    def _on_readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_lost()
            return
        self._inbound += data
        *lines, rest = self._inbound.split(b"\n")
        self._inbound = rest
        for line in lines:
            self._on_event(json.loads(line))

    def _on_lost(self) -> None:
        """Someone killed the shim: its children died with it, what they had started is swept now."""
        log.warning("the process runtime's shim (pid %d) is gone; its containers have ended", self.pid)
        ready = self._ready
        self._disconnect()
        if ready is not None and not ready.done():
            ready.set_exception(RuntimeError("the process runtime's shim did not start"))
        sweep(self.state_dir)
        for listener in self.on_lost:
            listener()

    def _on_event(self, event: dict[str, Any]) -> None:
        if event["event"] == "hello":
            self.pid, self.problem = event["pid"], event["problem"]
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
            return
        pending = self._pending.get(event["id"])
        if pending is None:
            return
        if event["event"] == "started" and not pending.started.done():
            pending.started.set_result(event["pid"])
        elif event["event"] == "failed" and not pending.started.done():
            pending.started.set_exception(ShimError(event["error"]))
        elif event["event"] == "exited":
            self._pending.pop(event["id"])
            if not pending.started.done():
                pending.started.set_result(0)
            if not pending.exited.done():
                pending.exited.set_result(Exit(event["code"], event["signal"], event["oom"]))


def sweep(state_dir: Path) -> list[int]:
    """Kill every process that a dead cluster with this state folder left; return their pids.

    A process is known by KUBELAB_STATE in the environment that it was started with, which nothing else has.
    """
    from kubelab.node.runtime.process_cgroup import Cgroups

    found: set[int] = set()
    for _ in range(20):  # again and again, for what was just being forked and what takes its time to die
        more = _kill_marked(b"KUBELAB_STATE=" + os.fsencode(state_dir))
        if not more:
            break
        found |= more
    Cgroups(str(state_dir)).remove_all()
    return sorted(found)


def _kill_marked(mark: bytes) -> set[int]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = entry.read_bytes().split(b"\0")
            if any(word == mark or word.startswith(mark + b"/") for word in words):
                pid = int(entry.parent.name)
                os.kill(pid, signal.SIGKILL)
                found.add(pid)
        except OSError:
            continue  # it ended meanwhile, or belongs to another user
    return found
