"""RuntimeClass: one that is named must exist; its overhead and its placement become the pod's.

Models:    plugin/pkg/admission/runtimeclass
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes, Plugin
from kubelab.machinery.quantity import parse
from kubelab.machinery.request import Obj


class RuntimeClass(Plugin):
    name = "RuntimeClass"
    handles = ("CREATE pods",)

    def admit(self, a: Attributes) -> None:
        spec = a.obj["spec"]
        name, given = spec.get("runtimeClassName"), spec.get("overhead")
        found = self.get("node.k8s.io", "runtimeclasses", name) if name else None
        if name and found is None:
            raise a.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
        overhead = ((found or NO_OBJ).get("overhead") or NO_OBJ).get("podFixed")
        if given and not overhead:
            raise a.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        if overhead:
            if given and not _equal(given, overhead):
                raise a.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec["overhead"] = dict(overhead)
        if found is not None and found.get("scheduling"):
            _place(a, spec, found["scheduling"])


def _place(a: Attributes, spec: Obj, scheduling: Obj) -> None:
    selector = spec.get("nodeSelector") or {}
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            raise a.forbidden(f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                              f"pod.spec.nodeSelector[{key}] = {selector[key]}")
    if scheduling.get("nodeSelector"):
        spec["nodeSelector"] = {**selector, **scheduling["nodeSelector"]}
    tolerations = spec.get("tolerations") or []
    added = [t for t in scheduling.get("tolerations") or () if t not in tolerations]
    if added:
        spec["tolerations"] = [*tolerations, *added]


def _equal(one: Obj, other: Obj) -> bool:
    return one.keys() == other.keys() and all(parse(one[key]) == parse(other[key]) for key in one)
