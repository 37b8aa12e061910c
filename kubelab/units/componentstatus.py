"""ComponentStatus: whether the parts of the control plane answer. Computed when asked, never stored.

Models: pkg/registry/core/componentstatus of kube-apiserver
"""

from __future__ import annotations

from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import NAME


def _healthy(status: Obj) -> Obj:
    return next((c for c in status.get("conditions") or () if c["type"] == "Healthy"), {})


def _cell(key: str, status: Obj) -> str:
    return str(_healthy(status).get(key, ""))


def component_status(name: str, problem: str = "", message: str = "ok") -> Obj:
    """Write the status of one component; `problem` is empty when it answers."""
    condition = {"type": "Healthy", "status": "False", "message": problem} if problem else \
        {"type": "Healthy", "status": "True", "message": message}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]}


COMPONENT_STATUS = Kind(
    "ComponentStatus", "componentstatuses", namespaced=False, short_names=("cs",), verbs=("get", "list"),
    deprecated="v1 ComponentStatus is deprecated in v1.19+",
    columns=(
        NAME,
        Column("Status", lambda o, now: "Healthy" if _cell("status", o) == "True" else "Unhealthy",
               description="Status of the component conditions"),
        Column("Message", lambda o, now: _cell("message", o), description="Message of the component conditions"),
        Column("Error", lambda o, now: _cell("error", o), description="Error of the component conditions"),
    ),
)
