"""The live cluster view as a Jupyter widget: one Python class, one ES module, a bridge between them.

    Bridge (on the cluster's loop) ─► widget messages ─► static/cluster_view.js
                                   ◄─ hello, ask, bye ◄─

Invariant: closing the widget stops the bridge; where no kernel runs, the saved output still shows a drawing. The last
           picture of a cluster that has stopped stays on its pages, and holds on to nothing of the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import anywidget
import traitlets

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal
from kubelab.views.bridge import Bridge
from kubelab.views.esm import STATIC, esm
from kubelab.views.marks import Mark
from kubelab.views.static_svg import draw

SNAPSHOT_S = 3.0  # at most this often, and not for clusters that would swell a notebook file
SNAPSHOT_ITEMS = 300


class ClusterView(anywidget.AnyWidget):
    """A live picture of the cluster that `client` talks to.

    `call` runs a coroutine on the loop that `client` lives on and returns its result (`Cluster.call`). `components`
    are the parts this process holds, by name ("scheduler", "kubelet/node-1"); without them cards have no buttons.
    """

    _esm = esm("cluster_view.js")
    _css = (STATIC / "cluster_view.css").read_text()
    snapshot = traitlets.Dict().tag(sync=True)  # what a saved notebook shows while no kernel runs

    def __init__(self, client: Client, journal: Journal | None = None, *,
                 call: Callable[[Coroutine[Any, Any, Any]], Any],
                 components: Mapping[str, Component] | None = None, name: str = "cluster",
                 clock: Clock | None = None) -> None:
        super().__init__()
        self._call: Callable[[Coroutine[Any, Any, Any]], Any] | None = call
        self._save: asyncio.TimerHandle | None = None
        self._last: dict[str, Any] = {}
        self._bridge: Bridge | None = Bridge(client, self._post, journal=journal, components=components, name=name,
                                             clock=clock)
        self._loop: asyncio.AbstractEventLoop | None = call(self._start(self._bridge))
        self.on_msg(self._heard)

    async def _start(self, bridge: Bridge) -> asyncio.AbstractEventLoop:
        await bridge.start()
        return asyncio.get_running_loop()

    def mark(self, text: str) -> None:
        """Put a mark of your own on the time bar."""
        if self._loop is not None and self._bridge is not None:
            self._loop.call_soon_threadsafe(self._bridge.mark, Mark(text))

    def stop(self) -> None:
        """Stop following the cluster; the last picture stays. Safe to call again, and after the loop has ended."""
        loop, self._loop = self._loop, None
        bridge, call = self._bridge, self._call
        if bridge is None or call is None:
            return
        if loop is not None and not loop.is_closed() and loop.is_running():
            call(self._end(bridge))
        self._last = {"type": "ended", "now": bridge.now(), "items": dict(bridge.projection.items)}
        self._bridge = self._call = None
        self.send(self._last)

    async def _end(self, bridge: Bridge) -> None:
        if self._save is not None:
            self._save.cancel()
        self._remember()
        await bridge.stop()

    def close(self) -> None:
        self.stop()
        super().close()

    def svg(self) -> str:
        """Return the picture as it is now, as a drawing that needs no kernel."""
        return draw(self._last["items"] if self._bridge is None else dict(self._bridge.projection.items))

    def _post(self, message: dict[str, Any]) -> None:
        if self._loop is None:
            return
        self.send(message)
        if self._save is None and message["type"] != "answer":
            self._save = self._loop.call_later(SNAPSHOT_S, self._remember)

    def _remember(self) -> None:
        self._save, bridge = None, self._bridge
        if bridge is not None and len(bridge.projection.items) <= SNAPSHOT_ITEMS:
            self.snapshot = {"now": bridge.now(), "items": dict(bridge.projection.items)}

    def _heard(self, _: Any, message: dict[str, Any], __: Any) -> None:
        if self._bridge is None and message.get("type") == "hello":  # a page that was opened, or was heard, since
            self.send(self._last)
        elif self._loop is not None and self._bridge is not None and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._bridge.hear(message), self._loop)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if not isinstance(bundle, tuple):
            return bundle
        data, metadata = bundle
        return {**data, "image/svg+xml": self.svg()}, metadata
