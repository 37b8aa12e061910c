"""PodTopologyLabels: a pod that is bound learns the zone and region of its node, as labels.

Models:    plugin/pkg/admission/podtopologylabels
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin

LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(Plugin):
    name = "PodTopologyLabels"
    handles = ("CREATE pods/binding",)

    def admit(self, a: Attributes) -> None:
        node = self.get("", "nodes", (a.obj.get("target") or {}).get("name", ""))
        given = node["metadata"].get("labels") or {} if node is not None else {}
        found = {label: given[label] for label in LABELS if label in given}
        if found:
            metadata = a.obj["metadata"]
            metadata["labels"] = {**(metadata.get("labels") or {}), **found}
