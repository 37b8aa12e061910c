"""Small worlds for the kubelet's pure functions."""

from __future__ import annotations

from typing import Any

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.observed import Observed
from kubelab.node.runtime.protocol import ContainerStatus, PodRef, Sandbox

REF = PodRef("default", "web", "uid-1", "node-1")


def container(name: str = "c", image: str = "nginx", **more: Any) -> Obj:
    return {"name": name, "image": image, **more}


def pod(*containers: Obj, init: list[Obj] | None = None, **spec: Any) -> Obj:
    made: Obj = {"containers": list(containers) or [container()], "restartPolicy": "Always", **spec}
    if init:
        made["initContainers"] = init
    return {"apiVersion": "v1", "kind": "Pod", "spec": made,
            "metadata": {"name": "web", "namespace": "default", "uid": "uid-1", "generation": 1}}


def ran(name: str = "c", state: str = "running", *, attempt: int = 0, code: int = 0, **more: Any) -> ContainerStatus:
    return ContainerStatus(f"{name}-{attempt}", name, REF, "nginx", "sha256:1", state, attempt=attempt, exit_code=code,
                           created_at=1000.0, started_at=1000.0, finished_at=1010.0 if state == "exited" else 0.0,
                           **more)


def world(*statuses: ContainerStatus, sandbox: bool = True) -> Observed:
    observed = Observed(Sandbox("s", REF, "10.0.0.5") if sandbox else None)
    for status in statuses:
        observed.put(status)
    return observed
