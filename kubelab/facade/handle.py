"""A component, held from a notebook: stop it, start it, read its source, call what it can do.

    cell ─► Handle.stop() ─► background loop ─► Component.stop()

Invariant: what a component does, it does on the cluster's loop, whoever asks.
"""

from __future__ import annotations

import inspect
from typing import Any, Self

from kubelab.client.background import BackgroundLoop
from kubelab.client.component import Component


class Handle:
    """One component, held from a notebook."""

    def __init__(self, component: Component, background: BackgroundLoop) -> None:
        self.component, self._background = component, background

    @property
    def state(self) -> str:
        return self.component.state

    def stop(self) -> Self:
        """Stop it; the rest of the cluster goes on without."""
        self._background.call(self.component.stop())
        return self

    def start(self) -> Self:
        self._background.call(self.component.start())
        return self

    def restart(self) -> Self:
        return self.stop().start()

    def source(self) -> str:
        """Return the Python source of the file that the component's class stands in."""
        module = inspect.getmodule(type(self.component))
        return inspect.getsource(module or type(self.component))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.component, name)

    def __repr__(self) -> str:
        return f"<{self.component.name}: {self.component.state}>"
