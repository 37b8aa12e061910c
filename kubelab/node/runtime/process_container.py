"""One container as a process: started, watched, stopped, looked into.

    created ─► start ─► running ─► the shim reports its end ─► output drained ─► exited
                          │ stop: the image's stop signal, SIGKILL after the grace period ─►┘

Invariant: the state moves only forward; "exited" is reported once, after the last line is in the log.
Models:    containerd's CRI container store and its event monitor
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubelab.machinery.clock import Clock
from kubelab.node.runtime import process_images, process_spec
from kubelab.node.runtime.process_control import Exit, ShimError, ShimHandle
from kubelab.node.runtime.process_log import LogFile
from kubelab.node.runtime.process_streams import BEHIND_BYTES, Client, Copier, Writer, exec_client, finish, open_ends
from kubelab.node.runtime.protocol import ContainerConfig, ContainerStatus, PodRef, RuntimeFailure

NOT_STARTED = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create " \
              "failed: unable to start container process: "
EXEC_FAILED = "OCI runtime exec failed: exec failed: unable to start container process: "


class Container:
    """`tell(container, kind)` is called with "started" and "exited"."""

    def __init__(self, pod: PodRef, config: ContainerConfig, spec: dict[str, Any], folder: Path, clock: Clock,
                 shim: ShimHandle, tell: Callable[[Container, str], None]) -> None:
        self.config, self.spec, self.folder = config, spec, folder
        self.id: str = spec["id"]
        self.status = ContainerStatus(self.id, config.name, pod, config.image, process_images.image_id(config.image),
                                      "created", config.attempt, created_at=clock.now())
        self.log = LogFile(folder / "log")
        self.ended = asyncio.Event()
        self._clock, self._shim, self._tell = clock, shim, tell
        self._copier = Copier(lambda stream, data: self.log.write(stream, data, clock.now()))
        self._writer: Writer | None = None
        self._execs = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def start(self) -> None:
        """Start the program. Raises: RuntimeFailure, in runc's words."""
        if self.status.state != "created":
            return
        ends = open_ends(tty=self.config.tty, stdin=self.config.stdin)
        try:
            pid, exited = await self._shim.run(self.spec, ends.far)
        except ShimError as error:
            ends.close()
            message = NOT_STARTED + str(error)
            self._end(Exit(128), "StartError", message)
            raise RuntimeFailure("RunContainerError", message) from None
        ends.give_away()
        self._copier.start(ends)
        if ends.input >= 0:
            self._writer = Writer(ends.input, tty=self.config.tty)
        self.status = replace(self.status, state="running", pid=pid, started_at=self._clock.now())
        self._tell(self, "started")
        self._spawn(self._watch(exited))

    async def _watch(self, exited: asyncio.Future[Exit]) -> None:
        ended = await exited
        await self._copier.drained()
        self._end(ended, "OOMKilled" if ended.oom else "Completed" if ended.code == 0 else "Error")

    def _end(self, ended: Exit, reason: str, message: str = "") -> None:
        if self._writer is not None:
            self._writer.close()
        now = self._clock.now()
        self.log.close(now)
        self.status = replace(self.status, state="exited", exit_code=ended.code, signal=ended.signal, pid=0,
                              reason=reason, message=message, finished_at=now,
                              started_at=self.status.started_at or now)
        self.ended.set()
        self._tell(self, "exited")

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, after `grace_s` make it; return when it has ended."""
        if self.status.state != "running":
            return
        if grace_s > 0:
            await self._shim.kill(self.id, process_images.find(self.config.image).stop_signal)
            if await self._ends_within(grace_s):
                return
        await self._shim.kill(self.id, signal.SIGKILL)
        await self.ended.wait()

    async def _ends_within(self, grace_s: float) -> bool:
        over = asyncio.Event()
        timer = self._clock.call_later(grace_s, over.set)
        waits = [asyncio.ensure_future(event.wait()) for event in (self.ended, over)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            for wait in waits:
                wait.cancel()
        return self.ended.is_set()

    async def remove(self) -> None:
        """Stop it at once and delete its log and folder."""
        await self.stop(0)
        self.log.close(self._clock.now())
        shutil.rmtree(self.folder, ignore_errors=True)

    async def exec(self, command: Sequence[str], *, tty: bool, stdin: bool) -> Client:
        """Start a further program in the container. Raises: RuntimeFailure."""
        self._must_run()
        self._execs += 1
        exec_id = f"{self.id}/{self._execs}"
        ends = open_ends(tty=tty, stdin=stdin)
        try:
            spec = process_spec.exec_spec(self.spec, exec_id, list(command), tty=tty)
            _, exited = await self._shim.run(spec, ends.far)
        except ShimError as error:
            ends.close()
            raise RuntimeFailure("ExecError", EXEC_FAILED + str(error)) from None
        ends.give_away()
        code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        exited.add_done_callback(lambda done: None if code.done() else code.set_result(done.result().code))
        client = exec_client(ends, code, tty=tty)
        client.on_close.append(lambda: self._shim.kill(exec_id, signal.SIGKILL))
        self._spawn(finish(client, code))
        return client

    def attach(self) -> Client:
        """Connect to the program's streams from now on. Raises: RuntimeFailure."""
        self._must_run()

        async def exit_code() -> int:
            await self.ended.wait()
            return self.status.exit_code

        client = Client(exit_code, self._writer, limit=BEHIND_BYTES, keep_stdin=not self.config.stdin_once)
        self._copier.clients.add(client)
        client.on_close.append(lambda: self._copier.clients.discard(client))
        return client

    def _must_run(self) -> None:
        if self.status.state != "running":
            raise RuntimeFailure("ContainerNotRunning", f'container "{self.config.name}" is not running: it is '
                                                        f"{self.status.state}")
