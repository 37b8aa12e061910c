"""Priority: a pod's class becomes the number that the scheduler compares.

Models:    plugin/pkg/admission/priority
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin
from kubelab.machinery.request import Obj

GROUP = "scheduling.k8s.io"


class Priority(Plugin):
    name = "Priority"
    handles = ("CREATE pods", "CREATE priorityclasses", "UPDATE priorityclasses")

    def admit(self, a: Attributes) -> None:
        if a.call.kind.plural != "pods":
            return
        spec = a.obj["spec"]
        name = spec.get("priorityClassName")
        found = self.get(GROUP, "priorityclasses", name) if name else self._default()
        if name and found is None:
            raise a.forbidden(f"no PriorityClass with name {name} was found")
        value, policy = 0, "PreemptLowerPriority"
        if found is not None:
            spec["priorityClassName"] = found["metadata"]["name"]
            value, policy = found.get("value", 0), found.get("preemptionPolicy") or policy
        if spec.get("priority") not in (None, value):
            raise a.forbidden(f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                              f"priority admission controller computed {value} from the given PriorityClass name")
        if (spec.get("preemptionPolicy") or policy) != policy:
            raise a.forbidden(f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided "
                              f"in pod spec; priority admission controller computed {policy} from the given "
                              "PriorityClass name")
        spec["priority"], spec["preemptionPolicy"] = value, policy

    def validate(self, a: Attributes) -> None:
        if a.call.kind.plural == "pods" or not a.obj.get("globalDefault"):
            return
        other = self._default()
        if other is not None and other["metadata"]["name"] != a.name:
            raise a.forbidden(f"PriorityClass {other['metadata']['name']} is already marked as default. "
                              "Only one default can exist")

    def _default(self) -> Obj | None:
        classes = [c for c in self.objects(GROUP, "priorityclasses") if c.get("globalDefault")]
        return min(classes, key=lambda c: int(c.get("value", 0)), default=None)
