"""PersistentVolumeClaimResize: a claim grows only where its storage class says that it can.

Models:    plugin/pkg/admission/storage/persistentvolume/resize
"""

from __future__ import annotations

from fractions import Fraction

from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes, Plugin
from kubelab.machinery.quantity import parse
from kubelab.machinery.request import Obj
from kubelab.units.persistentvolumeclaim import class_of


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"
    handles = ("UPDATE persistentvolumeclaims",)

    def validate(self, a: Attributes) -> None:
        if _size(a.obj) <= _size(a.old):
            return
        if (a.old.get("status") or NO_OBJ).get("phase") != "Bound":
            raise a.forbidden("Only bound persistent volume claims can be expanded")
        class_ = self.get("storage.k8s.io", "storageclasses", class_of(a.obj)) if class_of(a.old) else None
        if class_ is None or not class_.get("allowVolumeExpansion"):
            raise a.forbidden("only dynamically provisioned pvc can be resized and the storageclass that provisions "
                              "the pvc must support resize")


def _size(claim: Obj) -> Fraction:
    return parse((claim["spec"]["resources"].get("requests") or NO_OBJ).get("storage") or 0)
