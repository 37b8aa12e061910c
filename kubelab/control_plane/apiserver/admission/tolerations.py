"""DefaultTolerationSeconds: a pod stays five minutes on a node that is lost, unless it says otherwise.

Models:    plugin/pkg/admission/defaulttolerationseconds
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin
from kubelab.machinery.request import Obj

TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"
    handles = ("CREATE pods",)

    def admit(self, a: Attributes) -> None:
        add_tolerations(a.obj["spec"])


def add_tolerations(spec: Obj) -> None:
    """Let a pod stay five minutes on a node that is not ready or not reachable, unless it says otherwise."""
    tolerations = spec.get("tolerations") or []
    missing = [key for key in TOLERATED if not any(
        t.get("key", "") in (key, "") and t.get("effect", "") in ("NoExecute", "") and
        (t.get("key") or t.get("operator") == "Exists") for t in tolerations)]
    if missing:
        spec["tolerations"] = tolerations + [{"key": key, "operator": "Exists", "effect": "NoExecute",
                                              "tolerationSeconds": 300} for key in missing]
