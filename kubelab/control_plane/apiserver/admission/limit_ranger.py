"""LimitRanger: containers get the namespace's default requests and limits, and nothing goes beyond its bounds.

Models:    plugin/pkg/admission/limitranger
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes, Plugin
from kubelab.units.limit_bounds import claim_errors, give_defaults, pod_errors


class LimitRanger(Plugin):
    name = "LimitRanger"
    handles = ("CREATE pods", "CREATE persistentvolumeclaims", "UPDATE pods/resize", "UPDATE persistentvolumeclaims")

    def admit(self, a: Attributes) -> None:
        if a.call.kind.plural == "pods" and a.operation == "CREATE":
            for limit_range in self.objects("", "limitranges", a.namespace):
                if give_defaults(a.obj, limit_range):
                    a.call.kind.prepare_create(a.obj)  # a pod's quality of service follows from its resources

    def validate(self, a: Attributes) -> None:
        if "deletionTimestamp" in a.old.get("metadata", NO_OBJ):
            return
        for limit_range in self.objects("", "limitranges", a.namespace):
            check = pod_errors if a.call.kind.plural == "pods" else claim_errors
            errors = list(dict.fromkeys(check(a.obj, limit_range)))
            if errors:
                raise a.forbidden(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
