"""NodeRestriction and TaintNodesByCondition: a kubelet registers its own Node, which starts as not ready.

Models:    plugin/pkg/admission/noderestriction, nodetaint
Left out:  what a kubelet may not write in its own Node, and pods of other nodes, which authorisation refuses by name
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin

NOT_READY = "node.kubernetes.io/not-ready"


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    handles = ("CREATE nodes",)

    def admit(self, a: Attributes) -> None:
        user = a.call.user
        if "system:nodes" not in user.groups:
            return
        own = user.name.removeprefix("system:node:")
        if a.name != own:
            raise a.forbidden(f'node "{own}" is not allowed to modify node "{a.name}"')


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"
    handles = ("CREATE nodes",)

    def admit(self, a: Attributes) -> None:
        taints = a.obj.setdefault("spec", {}).setdefault("taints", [])
        if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
            taints.append({"key": NOT_READY, "effect": "NoSchedule"})
