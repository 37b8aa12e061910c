"""containerStatuses of a pod: from what the runtime shows to what `kubectl get pod -o yaml` prints.

    latest attempt ─► state      (running | terminated | waiting: the reason why it is not started again)
    one before     ─► lastState  (terminated)

Invariant: one entry per container of the spec, in the spec's order.
Models:    kubelet convertToAPIContainerStatuses
Left out:  status.user, allocated device resources
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubelab.machinery.clock import timestamp
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.observed import Healths, Observed, health_of, is_sidecar
from kubelab.node.kubelet.plan import wants_restart
from kubelab.node.runtime.protocol import ContainerStatus

Waits = Mapping[str, tuple[str, str]]  # container name -> (reason, message) why it is not running


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that the statuses of one pod are made of."""

    pod: Obj
    observed: Observed
    healths: Healths
    waits: Waits
    runtime: str  # "process", "docker", "hollow": the scheme of containerID
    ending: bool = False  # the pod terminates or has come to its end: nothing is started again


def container_statuses(scene: Scene, field: str) -> list[Obj]:
    """Return the statuses for spec[field], "containers", "initContainers" or "ephemeralContainers"."""
    old = {s["name"]: s for s in scene.pod.get("status", {}).get(_STATUS_FIELD[field]) or ()}
    init = field == "initContainers"
    return [_status(scene, c, init, old.get(c["name"])) for c in scene.pod["spec"].get(field, ())]


_STATUS_FIELD = {"containers": "containerStatuses", "initContainers": "initContainerStatuses",
                 "ephemeralContainers": "ephemeralContainerStatuses"}


def ephemeral_statuses(scene: Scene) -> list[Obj]:
    """Return the statuses of the containers that were added to look into the pod: they are never ready."""
    return [{key: value for key, value in status.items() if key != "started"} | {"ready": False}
            for status in container_statuses(scene, "ephemeralContainers")]


def _status(scene: Scene, container: Obj, init: bool, old: Obj | None) -> Obj:
    name = container["name"]
    latest = scene.observed.latest(name)
    if latest is None:
        return _never_started(scene, container, old)
    state, last = _states(scene, container, init, latest)
    out: Obj = {
        "name": name,
        "state": state,
        "lastState": last,
        "ready": _ready(scene, container, init, latest),
        "restartCount": latest.attempt,
        "image": latest.image,
        "imageID": latest.image_id,
        "containerID": f"{scene.runtime}://{latest.id}",
        "started": _started(scene, container, init, latest),
    }
    return _with_extras(out, container, latest)


def _with_extras(out: Obj, container: Obj, latest: ContainerStatus) -> Obj:
    resources = container.get("resources")
    if resources and latest.state == "running":
        if "requests" in resources:
            out["allocatedResources"] = resources["requests"]
        out["resources"] = resources
    mounts = container.get("volumeMounts")
    if mounts:
        out["volumeMounts"] = [_mount_status(m) for m in mounts]
    return out


def _mount_status(mount: Obj) -> Obj:
    out: Obj = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        out |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return out


def _never_started(scene: Scene, container: Obj, old: Obj | None) -> Obj:
    """The runtime knows no attempt: it waits, or was lost, or (for an old init container) was cleaned away."""
    kept = {k: old[k] for k in ("lastState", "restartCount", "imageID", "containerID") if k in old} if old else {}
    state: Obj
    if scene.ending and _was_reached(scene, container["name"]):
        message = "The container could not be located when the pod was terminated"
        state = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message,
                                "startedAt": None, "finishedAt": None}}
    else:
        first = "PodInitializing" if scene.pod["spec"].get("initContainers") else "ContainerCreating"
        reason, message = scene.waits.get(container["name"], (first, ""))
        state = {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}
    out: Obj = {"name": container["name"], "state": state, "lastState": {}, "ready": False, "restartCount": 0,
                "image": container.get("image", ""), "imageID": "", "started": False}
    return out | kept


def _was_reached(scene: Scene, name: str) -> bool:
    """Tell whether the pod came so far that this container must have run: a later one did, or all init ones ended."""
    init = [c["name"] for c in scene.pod["spec"].get("initContainers") or ()]
    seen = [scene.observed.latest(n) for n in init]
    if name in init:
        return any(seen[init.index(name) + 1:])
    last = seen[-1] if seen else None
    return not seen or (last is not None and (last.state == "running" or last.exit_code == 0))


def _states(scene: Scene, container: Obj, init: bool, latest: ContainerStatus) -> tuple[Obj, Obj]:
    previous = scene.observed.previous(container["name"])
    last = terminated(previous, scene.runtime) if previous is not None and previous.state == "exited" else {}
    if latest.state == "running":
        return {"running": {"startedAt": timestamp(latest.started_at)}}, last
    ended = terminated(latest, scene.runtime) if latest.state == "exited" else {}
    wait = scene.waits.get(container["name"])
    if wait is not None and not scene.ending and wants_restart(scene.pod["spec"], container, latest, init=init):
        reason, message = wait
        return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}, ended or last
    return (ended, last) if ended else ({"waiting": {"reason": "ContainerCreating"}}, last)


def terminated(status: ContainerStatus, runtime: str) -> Obj:
    """Write an ended attempt as a ContainerState."""
    out: Obj = {"exitCode": status.exit_code, "reason": status.reason or _default_reason(status),
                "startedAt": timestamp(status.started_at or status.created_at),
                "finishedAt": timestamp(status.finished_at), "containerID": f"{runtime}://{status.id}"}
    if status.signal:
        out["signal"] = status.signal
    if status.message:
        out["message"] = status.message
    return {"terminated": out}


def _default_reason(status: ContainerStatus) -> str:
    return "Completed" if status.exit_code == 0 else "Error"


def _ready(scene: Scene, container: Obj, init: bool, latest: ContainerStatus) -> bool:
    if init and not is_sidecar(container):
        return latest.state == "exited" and latest.exit_code == 0
    if latest.state != "running":
        return False
    health = health_of(container, latest, scene.healths)
    return health.ready and health.started


def _started(scene: Scene, container: Obj, init: bool, latest: ContainerStatus) -> bool:
    if latest.state != "running":
        return False
    if init and not is_sidecar(container):
        return False
    return health_of(container, latest, scene.healths).started


def ready_names(statuses: Sequence[Obj]) -> set[str]:
    return {s["name"] for s in statuses if s["ready"]}
