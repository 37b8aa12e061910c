"""The chain of admission: plugin after plugin, and how long each takes.

    write ─► plugin ─► plugin ─► ... ─► on it goes        one of them changed it for others? ─► once more from the start
               └─ refuses ─► counted as rejected="true"; nobody behind it is asked

Invariant: a plugin costs one look at the clock; its series is found when the chain is made, not when it runs.
Models:    k8s.io/apiserver/pkg/admission: chain.go, reinvocation.go, metrics/metrics.go
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin
from kubelab.machinery import metrics
from kubelab.machinery.metrics import Cell

BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
PLUGIN_SECONDS = metrics.histogram(
    "apiserver_admission_controller_admission_duration_seconds", "Admission controller latency histogram in seconds, "
    "identified by name and broken out for each operation and API resource and type (validate or admit).",
    ("name", "type", "operation", "rejected"), BUCKETS)
STEP_SECONDS = metrics.histogram(
    "apiserver_admission_step_admission_duration_seconds", "Admission sub-step latency histogram in seconds, broken "
    "out for each operation and API resource and step type (validate or admit).",
    ("type", "operation", "rejected"), BUCKETS)
Look = Callable[[Attributes], Awaitable[None] | None]


class Chain:
    """The plugins that want to see writes of one kind. `type_` is what they are asked to do: admit or validate."""

    def __init__(self, type_: str, operation: str, plugins: Sequence[Plugin]) -> None:
        self._labels = type_, operation
        self._steps: list[tuple[Look, str, Cell]] = [
            (getattr(plugin, type_), plugin.name, PLUGIN_SECONDS.cell((plugin.name, *self._labels, "false")))
            for plugin in plugins if getattr(type(plugin), type_) is not getattr(Plugin, type_)]
        self._passed = STEP_SECONDS.cell((*self._labels, "false"))

    async def run(self, a: Attributes) -> None:
        """Ask every plugin; raises what one refuses with."""
        began = perf_counter()
        try:
            now = await self._round(a, began)
            if a.dirty and not a.again:  # what the built-in plugins and earlier webhooks did not see
                a.again = True
                now = await self._round(a, now)
        except Exception:
            STEP_SECONDS.observe((*self._labels, "true"), perf_counter() - began)
            raise
        self._passed.observe(now - began)

    async def _round(self, a: Attributes, before: float) -> float:
        for look, name, passed in self._steps:
            try:
                pending = look(a)
                if pending is not None:
                    await pending
            except Exception:
                PLUGIN_SECONDS.observe((name, *self._labels, "true"), perf_counter() - before)
                raise
            now = perf_counter()
            passed.observe(now - before)
            before = now
        return before
