"""Cards of the control plane: which component is which part of the picture, and what stands on its card.

    components {"scheduler": Component, "kubelet/node-1": ...} ─► part_items ─► {"part:scheduler": {...}, ...}

Left out: what a part is for; that is told by the drawing
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any

from kubelab.client.component import Component
from kubelab.views.items import Item

ALWAYS = ("kubectl", "apiserver", "etcd", "controllers", "scheduler")
"""Parts that every cluster has, ours or not."""

NAMES = {"controller-manager": "controllers", "kube-controller-manager": "controllers", "kube-scheduler": "scheduler",
         "kube-apiserver": "apiserver", "kube-proxy": "proxy", "coredns": "dns"}


HIDDEN = frozenset({"etcd-wire"})
"""Components that have no card: they are another one's door."""


def part_name(component: str) -> str:
    """Return the name in the picture: "controllers" for kube-controller-manager, "kubelet/node-1" as it is."""
    return NAMES.get(component, component)


def part_items(components: Mapping[str, Component], figures: Mapping[str, str]) -> dict[str, Item]:
    """Return the cards of all parts but the kubelets, which belong to their nodes; `figures` are part -> small text."""
    out = {f"part:{name}": _card(name, "", figures) for name in ALWAYS}
    for key, component in components.items():
        name = part_name(key)
        if not name.startswith("kubelet/") and name not in HIDDEN:
            out[f"part:{name}"] = _card(name, component.state, figures) | {
                "error": str(component.last_error or "")[:200] if component.state == "restarting" else ""}
    return out


def _card(name: str, state: str, figures: Mapping[str, str]) -> Item:
    return {"t": "part", "name": name, "state": state, "detail": figures.get(name, "you" if name == "kubectl" else "")}


def find(components: Mapping[str, Component], part: str) -> tuple[str, Component] | None:
    """Return the component behind a part, with the name it has in `components`."""
    return next(((key, c) for key, c in components.items() if part_name(key) == part), None)


def loops(component: Component) -> dict[str, Component]:
    """Return the controllers inside a controller manager, nothing for other components."""
    inner = getattr(component, "controllers", None)
    return {k: c for k, c in inner.items() if isinstance(c, Component)} if isinstance(inner, Mapping) else {}


def queue_length(component: Component) -> int | None:
    """Return how much waits in the component's work queue, None where it has none."""
    queue = getattr(component, "queue", None)
    return len(queue) if isinstance(queue, Sized) else None


def figure(part: str, component: Component) -> str:
    """Return the small text of a card: what this part is busy with."""
    inner = loops(component)
    if inner:
        busy = sum(1 for loop in inner.values() if queue_length(loop))
        return f"{len(inner)} loops" + (f", {busy} busy" if busy else "")
    waiting = queue_length(component)
    return "" if waiting is None else f"queue {waiting}"


def card(name: str, component: Component) -> dict[str, Any]:
    """Return what the side panel shows of a component."""
    facts = [["component", name], ["state", component.state], ["restarts", str(component.restarts)]]
    if component.last_error is not None:
        facts.append(["last error", repr(component.last_error)])
    waiting = queue_length(component)
    facts += [["queue", str(waiting)]] if waiting is not None else []
    rows = [{"name": n, "state": c.state, "detail": str(queue_length(c) or 0)} for n, c in loops(component).items()]
    stopped = component.state == "stopped"
    return {"facts": facts, "loops": rows, "can": ["start"] if stopped else ["stop", "restart"]}


def source(name: str, component: Component) -> dict[str, str]:
    """Return the module that a component is written in, and how to put another in its place."""
    kind = type(component)
    file = inspect.getsourcefile(kind)
    text = Path(file).read_text() if file and Path(file).exists() else inspect.getsource(kind)
    return {"file": f"{kind.__module__}.{kind.__qualname__}", "text": text,
            "replace": f'cluster.replace("{name}", My{kind.__name__})'}


async def act(component: Component, what: str) -> None:
    """Stop, start or restart a component."""
    if what in ("stop", "restart"):
        await component.stop()
    if what in ("start", "restart"):
        await component.start()


