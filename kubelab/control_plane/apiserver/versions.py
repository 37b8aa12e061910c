"""Kinds with two versions over one store: each version more is a face, with the way from the stored object and back.

    stored core/v1 Event ◄── inward ── Face ── outward ──► events.k8s.io/v1 Event, in answers, lists and watches

Invariant: a client of one version never sees that there is another.
Models:    the conversion functions of k8s.io/kubernetes/pkg/apis
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import orjson

from kubelab.control_plane.apiserver import autoscaling_versions, event_versions
from kubelab.control_plane.apiserver.watch import frame
from kubelab.machinery.errors import FieldError
from kubelab.machinery.request import Obj, WatchEvent
from kubelab.units.catalogue import Kind


@dataclass(frozen=True, slots=True)
class Face:
    """A second version of a stored kind: which kind it is, and the way there and back."""

    group: str
    version: str
    outward: Callable[[Obj], Obj]
    inward: Callable[[Obj], Obj]
    names: Mapping[str, str] = field(default_factory=dict)  # of fields, stored and shown

    def kind_of(self, stored: Kind, group: str, version: str) -> Kind:
        """Return the kind as this version shows it: what is wrong is told under its own names."""
        def validate(obj: Obj) -> list[FieldError]:
            return [replace(error, field=self._shown(error.field)) for error in stored.validate(obj)]

        return replace(stored, group=group, version=version, validate=validate if self.names else stored.validate)

    def _shown(self, path: str) -> str:
        first, dot, rest = path.partition(".")
        return f"{self.names.get(first, first)}{dot}{rest}"


FACES: Mapping[tuple[str, str, str], Face] = {
    ("events.k8s.io", "v1", "events"): Face("", "v1", event_versions.to_new, event_versions.to_core,
                                             event_versions.NEW_OF_CORE),
    ("autoscaling", "v1", "horizontalpodautoscalers"): Face("autoscaling", "v2", autoscaling_versions.to_v1,
                                                               autoscaling_versions.to_v2),
}


class Converted:
    """Presents stored objects in another version."""

    def __init__(self, kind: str, api_version: str, outward: Callable[[Obj], Obj]) -> None:
        self._kind, self._api_version, self._outward = kind, api_version, outward

    def one(self, obj: Obj) -> Obj:
        return self._outward(obj)

    def page(self, items: list[Obj], metadata: Obj) -> Obj:
        shown = [{key: value for key, value in self._outward(item).items() if key not in ("kind", "apiVersion")}
                 for item in items]
        return {"kind": f"{self._kind}List", "apiVersion": self._api_version, "metadata": metadata, "items": shown}

    def event(self, event: WatchEvent) -> WatchEvent:
        if event.type == "ERROR":
            return event
        obj = self._outward(event.obj)
        return WatchEvent(event.type, obj, frame(event.type, orjson.dumps(obj)), event.cause)
