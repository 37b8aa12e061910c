"""Kinds with two versions over one store: each version more is a face, with the way from the stored object and back.

    stored core/v1 Event ◄── inward ── Face ── outward ──► events.k8s.io/v1 Event, in answers, lists and watches

Invariant: a client of one version never sees that there is another.
Models:    the conversion functions of k8s.io/kubernetes/pkg/apis
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kubelab.machinery.errors import bad_request
from kubelab.machinery.request import Obj
from kubelab.units import autoscaling_versions, event_versions
from kubelab.units.catalogue import Kind


@dataclass(frozen=True, slots=True)
class Face:
    """A second version of a stored kind: which kind it is, and the way there and back."""

    group: str
    version: str
    outward: Callable[[Obj], Obj]
    inward: Callable[[Obj], Obj]
    names: Mapping[str, str] = field(default_factory=dict)  # of fields, stored and shown
    stricter: Mapping[str, Any] = field(default_factory=dict)  # what of the kind is another in this version

    def kind_of(self, stored: Kind, group: str, version: str) -> Kind:
        """Return the kind as this version shows it."""
        return replace(stored, group=group, version=version, **self.stricter)

    def query(self, query: Mapping[str, str]) -> Mapping[str, str]:
        """Return a query whose field selector names the fields as the store knows them. Raises `BadRequest`."""
        stored = {shown: own for own, shown in self.names.items()}
        terms = query.get("fieldSelector", "").split(",")
        for path in (re.split("!?=", term)[0] for term in sorted(terms)):
            if path.partition(".")[0] in self.names:  # as only the store calls it
                raise bad_request(f"field label not supported: {path}")
        selector = ",".join(_renamed(term, stored) for term in terms)
        return {**query, "fieldSelector": selector} if selector else query


def _renamed(path: str, names: Mapping[str, str]) -> str:
    return re.sub(r"^\w+", lambda first: names.get(first[0], first[0]), path)


FACES: Mapping[tuple[str, str, str], Face] = {
    ("events.k8s.io", "v1", "events"): Face("", "v1", event_versions.to_new, event_versions.to_core,
                                             event_versions.NEW_OF_CORE, event_versions.STRICTER),
    ("autoscaling", "v1", "horizontalpodautoscalers"): Face("autoscaling", "v2", autoscaling_versions.to_v1,
                                                               autoscaling_versions.to_v2),
}
