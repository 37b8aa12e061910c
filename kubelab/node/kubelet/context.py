"""What every part of one kubelet shares, and the one way in which starting a container can fail.

Models:    the fields of kubelet.Kubelet and kubeGenericRuntimeManager
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kubelab.client.client import Client
from kubelab.client.recorder import EventRecorder
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.backoff import Backoff
from kubelab.node.kubelet.pod_facts import SORTS
from kubelab.node.runtime.protocol import Runtime

RESYNC_S = 10.0  # how long after a failed step the pod is looked at again


class Waiting(Exception):
    """A container cannot be started now: the reason and message of its waiting state."""

    def __init__(self, reason: str, message: str, retry_s: float = RESYNC_S) -> None:
        super().__init__(message)
        self.reason, self.message, self.retry_s = reason, message, retry_s


@dataclass(slots=True)
class Context:
    """One kubelet's surroundings."""

    client: Client
    runtime: Runtime
    clock: Clock
    recorder: EventRecorder
    journal: Journal | None
    node_name: str
    node_ip: str
    root_dir: Path
    dns_server: str = ""
    cluster_domain: str = "cluster.local"
    lowest_port: int = 0
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def needs_files(self) -> bool:
        """Whether the runtime's containers see a file system; a hollow one's do not."""
        return bool(getattr(self.runtime, "needs_files", True))

    def record(self, pod: Obj, container: Obj | None, type_: str, reason: str, message: str) -> None:
        """Write an Event about the pod, or about one of its containers."""
        path = field_path(pod, container) if container is not None else ""
        if "kind" not in pod:  # items of a list from the wire do not repeat their kind
            pod = {**pod, "kind": "Pod", "apiVersion": "v1"}
        self.recorder.event(pod, type_, reason, message, field_path=path)

    def trace(self, verb: str, pod: Obj, container: str = "", detail: str = "") -> None:
        """Put a container call into the trace journal."""
        if self.journal is not None:
            subject = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" + (f"/{container}" if container
                                                                                     else "")
            self.journal.record("container", verb, subject, actor=f"kubelet/{self.node_name}", detail=detail or None)


def field_path(pod: Obj, container: Obj) -> str:
    """Return where the container stands in the pod, as involvedObject.fieldPath writes it."""
    name = container["name"]
    sort = next((sort for sort in SORTS for c in pod["spec"].get(sort) or () if c["name"] == name), SORTS[0])
    return f"spec.{sort}{{{name}}}"


def pod_title(pod: Obj) -> str:
    """Return name_namespace(uid), as back-off messages call a pod."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def go_duration(seconds: float) -> str:
    """Write whole seconds as Go does: 10s, 1m20s, 5m0s, 1h0m0s."""
    total = round(seconds)
    hours, minutes, rest = total // 3600, total // 60 % 60, total % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
