"""The live view of consensus as a Jupyter widget: members, their logs, what flies between them, and ways to break it.

    Group + Journal (on the cluster's loop) ─► a picture, 5 times a second ─► static/consensus_view.js
                                            ◄─ {"act": "kill", "member": 1} ◄─

Invariant: a picture is sent when it differs from the last one or something flew; after `stop` no timer is left.
Left out:  the past: the cluster view travels in time, this one shows now
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anywidget
import traitlets

from kubelab.machinery.journal import Journal
from kubelab.views.consensus import Flights, Group, picture
from kubelab.views.consensus_svg import draw
from kubelab.views.esm import STATIC, esm

EVERY_S = 0.2
SLOW_DISK_S = 1.0
ENDED = {"type": "said", "text": "The members have stopped; this is their last picture."}


class ConsensusView(anywidget.AnyWidget):
    """A live picture of `group`; `call` runs a coroutine on the loop that the group lives on (`Cluster.call`)."""

    _esm = esm("consensus_view.js")
    _css = (STATIC / "consensus_view.css").read_text()
    picture = traitlets.Dict().tag(sync=True)  # what a saved notebook shows while no kernel runs

    def __init__(self, group: Group, journal: Journal | None = None, *,
                 call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        super().__init__()
        self._group: Group | None = group
        self._call: Callable[[Coroutine[Any, Any, Any]], Any] | None = call
        self._flights = Flights()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = call(self._start(group, journal))
        self.on_msg(self._heard)

    async def _start(self, group: Group, journal: Journal | None) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if journal is not None:
            self._unsubscribe = journal.subscribe(self._flights.hear)
        self.picture = picture(group)
        self._timer = loop.call_later(EVERY_S, self._tick, loop, group)
        return loop

    def _tick(self, loop: asyncio.AbstractEventLoop, group: Group) -> None:
        now, flown = picture(group), self._flights.take()
        if now != self.picture:
            self.picture = now
        if flown:
            self.send({"type": "flights", "flights": flown})
        self._timer = loop.call_later(EVERY_S, self._tick, loop, group)

    def _heard(self, _: Any, message: dict[str, Any], __: Any) -> None:
        loop = self._loop
        if loop is not None and loop.is_running():
            loop.call_soon_threadsafe(self._begin, message)
        else:
            self.send(ENDED)

    def _begin(self, message: dict[str, Any]) -> None:
        task = asyncio.ensure_future(self._act(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, message: dict[str, Any]) -> None:
        try:
            if self._group is not None:
                await act(self._group, message)
        except (LookupError, ValueError, RuntimeError) as error:
            self.send({"type": "said", "text": str(error)})

    def stop(self) -> None:
        """Stop following the members; the last picture stays. Safe to call again, and after the loop has ended."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed() and loop.is_running():
            if self._call is not None:
                self._call(self._end())
            self.send(ENDED)
        self._group = self._call = None  # a picture holds on to nothing of the cluster

    async def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._unsubscribe = None

    def close(self) -> None:
        self.stop()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if not isinstance(bundle, tuple):
            return bundle
        data, metadata = bundle
        return {**data, "image/svg+xml": draw(self.picture)}, metadata


async def act(group: Group, message: dict[str, Any]) -> None:
    """Do to the members what a button asks for.

    Raises: LookupError for a button or a member that there is not.
    """
    what, member = str(message.get("act")), int(message.get("member", 0))
    if not 0 <= member < len(group.members):
        raise LookupError(f"there is no member {member}; there are 0 to {len(group.members) - 1}")
    if what in ("kill", "restart", "pause", "resume"):
        await getattr(group, what)(member)
    elif what == "slow":
        await group.slow_disk(member, SLOW_DISK_S)
    elif what == "fast":
        await group.slow_disk(member, 0.0)
    elif what == "partition":
        await group.partition(*[[int(i) for i in side] for side in message["groups"]])
    elif what == "heal":
        await group.heal()
    else:
        raise LookupError(f"nobody here knows how to {what!r} a member")
