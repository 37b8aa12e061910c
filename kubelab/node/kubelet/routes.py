"""What the routes of the kubelet's server share: which pod a path names, how an error is answered, how flags read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.machinery.request import Obj
from kubelab.node.runtime.protocol import ContainerStatus, Runtime

if TYPE_CHECKING:
    from kubelab.node.kubelet.kubelet import Kubelet
    from kubelab.node.kubelet.pod_worker import PodWorker


class HttpError(Exception):
    """Answer with this status and text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True, slots=True)
class PodTarget:
    """What a path names: a pod of one of our kubelets, and perhaps a container."""

    kubelet: Kubelet
    worker: PodWorker
    container: str = ""

    @property
    def runtime(self) -> Runtime:
        return self.kubelet.runtime

    @property
    def pod(self) -> Obj:
        return self.worker.pod

    def running(self, verb: str) -> ContainerStatus:
        """Return the running attempt of the container. Raises HttpError, worded as the kubelet does for `verb`."""
        status = self.worker.observed.latest(self.container)
        if status is not None and status.state == "running":
            return status
        metadata = self.pod["metadata"]
        pod = f"{metadata['name']}_{metadata['namespace']}"
        raise HttpError(500, f"container {self.container} not found in pod {pod}" if verb == "attach" else
                        f'container not found ("{self.container}")')


def flag(query: Mapping[str, str], name: str) -> bool:
    """Read a query parameter as a boolean, as Go's clients write them."""
    return query.get(name, "").lower() in ("1", "true", "t")
