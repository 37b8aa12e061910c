"""What is allowed but unwise is told in Kubernetes' words, and an update is warned about what it changes."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.request import Obj
from kubelab.units import Deployment, Pod, Service, status_validation
from kubelab.units.pods import status_validation as pod_status_validation


def pod(**spec: Any) -> Obj:
    made = Pod("p", image="nginx")
    made["spec"] |= spec
    return made


def warned(new: Obj, old: Obj | None = None) -> list[str]:
    kind = units.by_kind(new["apiVersion"], new["kind"])
    assert kind is not None
    return list(kind.warnings(new, old))


C: dict[str, Any] = {"name": "c", "image": "i"}
AFFINITY = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}}


@pytest.mark.parametrize(("new", "said"), [
    (pod(nodeSelector={"beta.kubernetes.io/os": "linux"}),
     'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'),
    (pod(topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone"}]),
     "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"),
    (pod(affinity=AFFINITY), "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]."
     "labelSelector: a null labelSelector results in matching no pod"),
    (pod(containers=[{**C, "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}]),
     'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'),
    (pod(containers=[{**C, "ports": [{"containerPort": 80}, {"containerPort": 80}]}]),
     "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"),
    (pod(containers=[{**C, "resources": {"limits": {"memory": "100m"}}}]),
     'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer'),
    (pod(containers=[{**C, "ports": [{"containerPort": 80, "protocol": "TCP", "hostIP": "10.0.0.1"}]}]),
     "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP "
     "HostIP:10.0.0.1}"),
    (pod(initContainers=[{**C, "ports": [{"containerPort": 80}]}],
         containers=[{**C, "ports": [{"containerPort": 80, "hostPort": 80}]}]),
     "spec.containers[0].ports[0]: overlapping port definition with spec.initContainers[0].ports[0]"),
    (pod(hostAliases=[{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]), 'spec.hostAliases[1].ip: duplicate ip "10.0.0.1"'),
    (pod(imagePullSecrets=[{}]), 'spec.imagePullSecrets[0].name: invalid empty name ""'),
    (pod(overhead={"memory": "100m"}),
     'spec.overhead[memory]: fractional byte value "100m" is invalid, must be an integer'),
    (pod(terminationGracePeriodSeconds=-1), "spec.terminationGracePeriodSeconds: must be >= 0; negative values are "
     "invalid and will be treated as 1"),
    (pod(volumes=[{"name": "v", "gitRepo": {"repository": "r"}}]), "spec.volumes[0].gitRepo: deprecated in v1.11"),
    (Deployment("a.b", image="i"), "metadata.name: this is used in Pod names and hostnames, which can result in "
     "surprising behavior; a DNS label is recommended: [must not contain dots]"),
])
def test_a_warning_is_worded_as_upstream_does(new: Obj, said: str) -> None:
    """The path leads to the field, in a pod and in a template."""
    assert said in warned(new)


def test_an_update_is_warned_about_what_it_changes() -> None:
    """A template that changes is told of; what changes a pod writes often, and is no person."""
    spec = {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}
    old, new = (Deployment("web", image="nginx") for _ in range(2))
    for made, generation in ((old, 1), (new, 2)):
        made["metadata"]["generation"] = generation
        made["spec"]["template"]["spec"] |= spec
    assert warned(old, old) == []
    assert len(warned(new, old)) == 1
    assert warned(pod(**spec), pod()) == []


def test_plain_objects_are_not_warned_about() -> None:
    """What everybody writes is fine, also an environment variable that builds on the one before."""
    env = [{"name": "PATH", "value": "/bin"}, {"name": "PATH", "value": "/x:$(PATH)"}]
    for made in (pod(containers=[{**C, "env": env}]), Deployment("web", image="nginx"), Service("web")):
        assert warned(made) == []


@pytest.mark.parametrize(("check", "status", "said"), [
    (status_validation.DEPLOYMENT, {"replicas": -1},
     "status.replicas: Invalid value: -1: must be greater than or equal to 0"),
    (status_validation.DEPLOYMENT, {"replicas": 1, "readyReplicas": 2},
     "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"),
    (status_validation.REPLICAS, {"replicas": 2, "readyReplicas": 1, "availableReplicas": 2},
     "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"),
    (status_validation.load_balancer, {"loadBalancer": {"ingress": [{"ip": "x"}]}},
     'status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or '
     "2001:db8::ffff)"),
])
def test_a_status_that_cannot_be_is_refused(check: status_validation.Check, status: Obj, said: str) -> None:
    """Counts and addresses that controllers report are looked at."""
    new: Obj = {"kind": "Ingress", "metadata": {"name": "x"}, "spec": {}, "status": status}
    assert said in [str(e) for e in check(new, {}, "status")]


def test_a_container_that_ended_stays_so() -> None:
    """A pod that is never restarted does not report a running container after it ended."""
    states: tuple[Obj, Obj] = ({"terminated": {"exitCode": 0}}, {"running": {}})
    old, new = (pod(restartPolicy="Never") | {"status": {"containerStatuses": [{"name": "p", "state": state}]}}
                for state in states)
    found = pod_status_validation.validate_part(new, old, "status")
    assert [e.field for e in found] == ["status.containerStatuses[0].state"]
