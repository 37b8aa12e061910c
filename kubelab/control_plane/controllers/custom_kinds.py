"""The kinds that CustomResourceDefinitions bring, and an informer for each as long as it is served.

    CRD established ─► informers.of(kind) ─► handlers of whoever follows custom kinds
    CRD gone, or its version no longer served ─► the informer ends

Invariant: there is at most one informer for the custom kinds of one CRD.
Models:    the monitors that kube-controller-manager's garbage collector keeps in step with discovery
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

from kubelab.client.informer import Informer, Informers
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind
from kubelab.units.crds.status import is_established

OnObject = Callable[[Kind, str, Obj, Obj | None], None]


class CustomKinds:
    """Tells `on_object` of every object of every custom kind."""

    def __init__(self, informers: Informers, on_object: OnObject) -> None:
        self._informers, self._on_object = informers, on_object
        self._followed: dict[str, tuple[Kind, Informer]] = {}  # by the name of the CRD
        self._tasks: set[asyncio.Task[None]] = set()
        self.definitions = informers.of("customresourcedefinitions")
        self.definitions.on_event(self._on_definition)

    def kinds(self) -> list[Kind]:
        return [kind for kind, _ in self._followed.values()]

    def followed(self) -> list[tuple[Kind, Informer]]:
        """Return every custom kind with what follows it."""
        return list(self._followed.values())

    def find(self, api_version: str, kind: str) -> Kind | None:
        """Return the custom kind of this name, whatever version of it is asked for."""
        group = api_version.rpartition("/")[0]
        return next((k for k in self.kinds() if (k.group, k.kind) == (group, kind)), None)

    def _on_definition(self, type_: str, crd: Obj, old: Obj | None) -> None:
        name = crd["metadata"]["name"]
        kind = kind_of(crd) if type_ != "DELETED" and is_established(crd) else None
        followed = self._followed.get(name)
        if followed is not None and followed[0] != kind:
            del self._followed[name]
            self._informers.drop(followed[1])
            self._do(followed[1].stop())
        if kind is not None and name not in self._followed:
            informer = self._informers.of(kind)
            self._followed[name] = kind, informer
            informer.on_event(partial(self._on_object, kind))
            self._do(informer.start())

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def kind_of(crd: Obj) -> Kind | None:
    """Return a custom kind in the version that is stored, or else in any that is served."""
    spec = crd["spec"]
    served = sorted((v for v in spec["versions"] if v["served"]), key=lambda v: not v["storage"])
    if not served:
        return None
    names = spec["names"]
    return Kind(names["kind"], names["plural"], spec["group"], served[0]["name"], spec["scope"] == "Namespaced",
                list_kind=names.get("listKind", ""))
