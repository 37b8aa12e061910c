"""The shim: one small process per cluster that forks, watches and, when its parent is gone, kills the containers.

    kubelab ──socket──► start, exec, kill ─► shim ─► fork ─► container        (shipped programs: no exec, a few ms)
            ◄─────────── started, exited ◄──      ◄─ SIGCHLD

It runs as `python -S -E -I process_shim.py FD STATE` on the standard library alone, has the shipped programs
loaded before it forks, and so gives each container shared memory and a start of a few milliseconds.

Invariant: when the socket closes (also by kill -9 of the parent) or SIGTERM comes, every descendant is killed and
           reaped before the shim ends; as child subreaper it inherits those that tried to get away.
Models:    containerd-shim-runc-v2
"""

from __future__ import annotations

import array
import gc
import json
import os
import selectors
import signal
import socket
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from kubelab.node.runtime import process_cgroup, process_root, process_spawn
from kubelab.node.runtime.images.programs import load_all


@dataclass(slots=True)
class Process:
    """A child: the main process of a container, or one that `exec` started in it."""

    id: str
    container: str
    pid: int
    error: int  # read end of its error pipe, -1 once it has started or failed
    groups: bool = False
    said: bytearray = field(default_factory=bytearray)
    status: int | None = None  # as waitpid gave it


class Shim:
    """Everything the shim knows. One thread, one selector."""

    def __init__(self, control: socket.socket, state: str) -> None:
        self.control, self.pid = control, os.getpid()
        self.programs = load_all()
        self.base = str(Path(state) / "root")
        self.processes: dict[str, Process] = {}  # by id, while they live
        self.by_pid: dict[int, Process] = {}
        self.cgroups = process_cgroup.Cgroups(state)
        self.lingering: set[str] = set()  # containers that ended and whose control group is still busy
        self.selector = selectors.DefaultSelector()

    def run(self) -> None:
        wake_in, wake_out = socket.socketpair()
        for end in (wake_in, wake_out):
            end.setblocking(False)
        signal.set_wakeup_fd(wake_out.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process_root.prctl(process_root.PR_SET_CHILD_SUBREAPER, 1)
        os.makedirs(self.base, exist_ok=True)
        self.selector.register(self.control, selectors.EVENT_READ, self.on_message)
        self.selector.register(wake_in, selectors.EVENT_READ, lambda: self.on_signal(wake_in))
        gc.collect()
        gc.freeze()  # forks then share these pages for good
        try:
            self.tell(event="hello", pid=self.pid, problem=process_root.probe(self.base))
            while True:
                for key, _ in self.selector.select():
                    key.data()
        except (EOFError, ConnectionError):
            self.kill_all()

    def tell(self, **event: Any) -> None:
        self.control.sendall(json.dumps(event).encode() + b"\n")

    def on_signal(self, wake: socket.socket) -> None:
        if signal.SIGTERM in wake.recv(4096):
            raise EOFError
        self.reap()

    # ── messages ────────────────────────────────────────────────────────────────────────────────────────

    def on_message(self) -> None:
        head, fds = receive(self.control)
        message = json.loads(head)
        if message["op"] == "kill":
            self.kill(message["id"], message["signal"])
        else:
            self.spawn(message, fds)
        for fd in fds:
            os.close(fd)

    def spawn(self, spec: dict[str, Any], fds: list[int]) -> None:
        container = spec.get("container") or spec["id"]
        if spec["op"] == "exec":
            main = self.processes.get(container)
            if main is None:
                self.tell(event="failed", id=spec["id"], error="container not running")
                return
            spec["join"] = main.pid if spec["private"] else 0
        limited = bool(spec.get("memory") or spec.get("cpu"))
        if limited:
            spec["cgroups"] = self.cgroups.limit(container, spec["memory"], spec["cpu"])
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            process_spawn.become(spec | {"base": self.base}, fds, writer, self.pid, self.programs)
        os.close(writer)
        process = Process(spec["id"], container, pid, reader, groups=limited)
        self.processes[process.id] = self.by_pid[pid] = process
        self.selector.register(reader, selectors.EVENT_READ, lambda: self.on_error_pipe(process))

    def on_error_pipe(self, process: Process) -> None:
        """The pipe closed: either the program runs, or what was said before is why not."""
        said = os.read(process.error, 65536)
        process.said += said
        if said:
            return
        self.selector.unregister(process.error)
        os.close(process.error)
        process.error = -1
        if process.said:
            self.tell(event="failed", id=process.id, error=process.said.decode(errors="replace"))
        else:
            self.tell(event="started", id=process.id, pid=process.pid)
        if process.status is not None:
            self.ended(process)

    def kill(self, id: str, number: int) -> None:
        process = self.processes.get(id)
        if process is not None and process.status is None:
            try:
                os.killpg(process.pid, number)
            except (ProcessLookupError, PermissionError):
                os.kill(process.pid, number)  # it has not made its group yet, or its group is another user's

    # ── ends ────────────────────────────────────────────────────────────────────────────────────────────

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid = 0
            if pid == 0:
                break
            process = self.by_pid.pop(pid, None)
            if process is not None:
                process.status = status
                if process.error < 0:  # else the error pipe, which closes now, comes first
                    self.ended(process)
        self.kill_orphans()
        self.lingering = {container for container in self.lingering if not self.cgroups.remove(container)}

    def ended(self, process: Process) -> None:
        assert process.status is not None
        del self.processes[process.id]
        main = process.id == process.container
        if main:
            for other in (process, *(p for p in self.processes.values() if p.container == process.id)):
                try:
                    os.killpg(other.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue  # the group is empty
        if not process.said:
            code, number = exit_of(process.status)
            oom = main and process.groups and self.cgroups.was_oom_killed(process.id)
            self.tell(event="exited", id=process.id, code=code, signal=number, oom=oom)
        if main and process.groups:
            self.lingering.add(process.id)

    def kill_orphans(self) -> None:
        """Kill what left its container's process group and came to us when its parent ended."""
        for pid in children(self.pid):
            if pid not in self.by_pid and container_of(pid) not in self.processes:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def kill_all(self) -> None:
        while True:
            for pid in children(self.pid) or list(self.by_pid):
                for kill in (os.killpg, os.kill):
                    try:
                        kill(pid, signal.SIGKILL)
                    except (ProcessLookupError, PermissionError):
                        continue  # no group of its own, or gone
            try:
                self.by_pid.pop(os.waitpid(-1, 0)[0], None)
            except ChildProcessError:
                break
        self.cgroups.remove_all()


def exit_of(status: int) -> tuple[int, int]:
    """Turn a wait status into (exit code, signal) as container runtimes count them: 128 + signal."""
    code = os.waitstatus_to_exitcode(status)
    return (code, 0) if code >= 0 else (128 - code, -code)


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def container_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return ""
    return next((word[18:].decode() for word in words if word.startswith(b"KUBELAB_CONTAINER=")), "")


def receive(control: socket.socket) -> tuple[bytes, list[int]]:
    """Read one message: a length, the body, and the file descriptors that came with it. Raises EOFError."""
    numbers = array.array("i")
    head, ancillary, _, _ = control.recvmsg(4, socket.CMSG_LEN(3 * numbers.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[:len(data) - len(data) % numbers.itemsize])
    while len(head) < 4:
        head += _more(control, 4 - len(head))
    size, = struct.unpack(">I", head)
    body = bytearray()
    while len(body) < size:
        body += _more(control, size - len(body))
    return bytes(body), list(numbers)


def _more(control: socket.socket, size: int) -> bytes:
    data = control.recv(size)
    if not data:
        raise EOFError
    return data


if __name__ == "__main__":
    if sys.argv[1] == "--probe":
        print(process_root.probe(sys.argv[2]))
    else:
        Shim(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]).run()
