"""DefaultStorageClass and DefaultIngressClass: what names no class gets the one that is marked as the default.

Models:    plugin/pkg/admission/storage/storageclass/setdefault, network/defaultingressclass
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes, Plugin
from kubelab.machinery.request import Obj


class _DefaultClass(Plugin):
    """Of several defaults the newest wins."""

    classes = ("", "")  # group and plural
    field = ""  # of the spec
    older_name = ""  # the annotation that named a class before there was the field
    marks: tuple[str, ...] = ()  # annotations that make a class the default

    def admit(self, a: Attributes) -> None:
        spec = a.obj.get("spec")
        if not isinstance(spec, dict) or spec.get(self.field) is not None \
                or self.older_name in (a.obj["metadata"].get("annotations") or NO_OBJ):
            return
        marked = [c["metadata"] for c in self.objects(*self.classes) if self._is_default(c)]
        if marked:
            newest = max(metadata["creationTimestamp"] for metadata in marked)
            spec[self.field] = min(metadata["name"] for metadata in marked if metadata["creationTimestamp"] == newest)

    def _is_default(self, class_: Obj) -> bool:
        annotations = class_["metadata"].get("annotations") or NO_OBJ
        return any(annotations.get(mark) == "true" for mark in self.marks)


class DefaultStorageClass(_DefaultClass):
    name = "DefaultStorageClass"
    handles = ("CREATE persistentvolumeclaims",)
    classes = ("storage.k8s.io", "storageclasses")
    field, older_name = "storageClassName", "volume.beta.kubernetes.io/storage-class"
    marks = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


class DefaultIngressClass(_DefaultClass):
    name = "DefaultIngressClass"
    handles = ("CREATE ingresses",)
    classes = ("networking.k8s.io", "ingressclasses")
    field, older_name = "ingressClassName", "kubernetes.io/ingress.class"
    marks = ("ingressclass.kubernetes.io/is-default-class",)
