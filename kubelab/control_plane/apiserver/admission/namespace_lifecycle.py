"""NamespaceLifecycle: nothing is created in a namespace that is not there or is going.

Models:    k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle
Left out:  the refusal to delete default, kube-system and kube-public, which stands with deletion
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes, Plugin
from kubelab.machinery.errors import not_found


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"
    handles = ("CREATE *",)

    def admit(self, a: Attributes) -> None:
        if not a.call.kind.namespaced:
            return
        name = a.namespace
        found = self.get("", "namespaces", name)
        if found is None:
            raise not_found("", "namespaces", name)
        if "deletionTimestamp" not in found["metadata"] and found.get("status", NO_OBJ).get("phase") != "Terminating":
            return
        error = a.forbidden(f"unable to create new content in namespace {name} because it is being terminated")
        error.details = {**(error.details or {}), "causes": [
            {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated",
             "field": "metadata.namespace"}]}
        raise error
