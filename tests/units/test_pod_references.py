"""What a pod refers to."""

from __future__ import annotations

from kubelab.machinery.request import Obj
from kubelab.units.pods.references import references


def test_references_of_a_pod() -> None:
    """Volumes, projected volumes, environment and pull secrets are all references."""
    spec: Obj = {
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [{"secret": {"secretName": "s1"}}, {"configMap": {"name": "c1"}}, {"emptyDir": {}},
                    {"projected": {"sources": [{"secret": {"name": "s2"}}, {"configMap": {"name": "c2"}}]}}],
        "initContainers": [{"envFrom": [{"secretRef": {"name": "s3"}}, {"configMapRef": {"name": "c3"}}]}],
        "containers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s4", "key": "k"}}},
                                {"name": "B", "value": "x"}]}]}
    assert references(spec, "secret") == {"pull", "s1", "s2", "s3", "s4"}
    assert references(spec, "configMap") == {"c1", "c2", "c3"}
