"""More of the same: parts of a cluster in processes of their own, which live as long as this one.

    client ─► port ─┬─ the API server of this process          the kernel spreads connections over them
                    ├─ kubelab apiserver ─┐
                    └─ kubelab apiserver ─┴─► etcd over gRPC ─► kubelab etcd, one process a member

Invariant: a replica ends with this process, also after kill -9 (the pipe on its standard input closes); one that
           dies is started again, one that ends in order is not.
Models:    static pods of several masters: a highly available control plane
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial

from kubelab.client.component import Component

READY_S = 30.0
log = logging.getLogger("kubelab")


class Replicas(Component):
    """One process of `kubelab` for each command line."""

    def __init__(self, name: str, commands: Sequence[Sequence[str]]) -> None:
        super().__init__(name)
        self._commands = commands
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    @property
    def pids(self) -> list[int]:
        """The processes that run, in no order that means anything."""
        return [process.pid for process in self._processes.values()]

    async def setup(self) -> None:
        """Start them all and wait until they answer. Raises RuntimeError with what one said that ended at once."""
        await asyncio.gather(*(self._start(index) for index in range(len(self._commands))))
        for index in range(len(self._commands)):
            self.spawn(partial(self._keep, index), name=f"replica-{index + 1}")

    async def teardown(self) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                process.terminate()
        for process in self._processes.values():
            try:
                await asyncio.wait_for(process.wait(), 5.0)
            except TimeoutError:
                process.kill()
                await process.wait()
        self._processes.clear()

    async def _start(self, index: int) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kubelab", *self._commands[index], stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=dict(os.environ), start_new_session=True)
        self._processes[index] = process
        said: list[str] = []
        async with asyncio.timeout(READY_S):
            assert process.stdout is not None
            while line := (await process.stdout.readline()).decode(errors="replace"):
                if "is running" in line:
                    return
                said.append(line)
        raise RuntimeError(f"{self.name} {index + 1} did not start: {''.join(said).strip() or 'it said nothing'}")

    async def _keep(self, index: int) -> None:
        """Read what a replica says until it ends, then start another."""
        while True:
            process = self._processes[index]
            assert process.stdout is not None
            while line := (await process.stdout.readline()).decode(errors="replace"):
                log.debug("%s %d: %s", self.name, index + 1, line.rstrip())
            code = await process.wait()
            if code == 0:
                log.warning("%s %d has ended by its own decision; it is not started again", self.name, index + 1)
                return
            log.warning("%s %d has ended with %s; it is started again", self.name, index + 1, code)
            self.restarts += 1
            await self._start(index)
