"""What to do about a pod next: a pure function from desired and observed to actions.

    pod spec ─┐                      ┌─ new sandbox
    runtime ──┼─► plan_pod ─► Plan ──┼─ stop these containers (why)
    probes ───┘                      └─ start these containers

Invariant: applied to a world where the plan is carried out, the next plan is empty.
Models:    kuberuntime computePodActions and computeInitContainerActions
"""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.observed import Healths, Observed, health_of, is_sidecar
from kubelab.node.runtime.protocol import ContainerStatus


@dataclass(frozen=True, slots=True)
class Stop:
    """A running container that must end; `message` is what the Killing event says."""

    name: str
    container_id: str
    message: str
    probe: str = ""  # "liveness" | "startup": that probe's own grace period counts


@dataclass(frozen=True, slots=True)
class Plan:
    new_sandbox: bool = False
    stop: tuple[Stop, ...] = ()
    start: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.new_sandbox or self.stop or self.start)


def restart_policy(spec: Obj, container: Obj, *, init: bool = False) -> str:
    """Return the policy that counts for one container; an ordinary init container is never restarted after success."""
    policy: str = container.get("restartPolicy") or spec.get("restartPolicy") or "Always"
    return "OnFailure" if init and policy == "Always" and not is_sidecar(container) else policy


def wants_restart(spec: Obj, container: Obj, status: ContainerStatus, *, init: bool = False) -> bool:
    """Tell whether an ended (or never started) container is to run again."""
    if status.state == "running":
        return False
    if status.state == "created":
        return True
    policy = restart_policy(spec, container, init=init)
    return policy == "Always" or (policy == "OnFailure" and status.exit_code != 0)


def plan_pod(spec: Obj, observed: Observed, healths: Healths) -> Plan:
    """Decide the next step for a pod that is meant to run."""
    if observed.sandbox is None or not observed.sandbox.ready:
        return _plan_sandbox(spec, observed)
    start, stop, initialized = _plan_init(spec, observed, healths)
    if initialized:
        more_start, more_stop = _plan_regular(spec, observed, healths)
        start, stop = start + more_start, stop + more_stop
        if not more_start and _all_done(spec, observed):
            start = []  # sidecars are not restarted once the pod has come to its end
    added = (c["name"] for c in spec.get("ephemeralContainers") or ())
    start += [name for name in added if observed.latest(name) is None]  # once, and never again
    return Plan(False, tuple(stop), tuple(start))


def _plan_sandbox(spec: Obj, observed: Observed) -> Plan:
    """Without a sandbox the pod starts over, unless it has come to its end."""
    stop = tuple(Stop(s.name, s.id, "Pod sandbox changed, it will be killed and re-created.")
                 for s in observed.running())
    ended = [c for c in spec["containers"] if (s := observed.latest(c["name"])) and s.state == "exited"
             and not wants_restart(spec, c, s)]
    if len(ended) == len(spec["containers"]):
        return Plan(False, stop, ())
    if any((s := observed.latest(c["name"])) and s.state == "exited" and not wants_restart(spec, c, s, init=True)
           and s.exit_code != 0 for c in spec.get("initContainers", ())):
        return Plan(False, stop, ())
    init = spec.get("initContainers")
    first = [init[0]["name"]] if init else [c["name"] for c in spec["containers"] if c not in ended]
    return Plan(True, stop, tuple(first))


def _plan_init(spec: Obj, observed: Observed, healths: Healths) -> tuple[list[str], list[Stop], bool]:
    """Walk the init containers in order; return what to start, what to stop, and whether all have done their part."""
    start: list[str] = []
    stop: list[Stop] = []
    init = spec.get("initContainers")
    if not init:
        return start, stop, True
    begun = any(observed.current(c["name"]) for c in spec["containers"])
    reached = max((i for i, c in enumerate(init) if observed.current(c["name"])), default=-1)
    for i, container in enumerate(init):
        status = observed.current(container["name"])
        passed = begun or i < reached
        if is_sidecar(container):
            if status is None or status.state != "running":
                start.append(container["name"])
                if not passed:
                    return start, stop, False
                continue
            health = health_of(container, status, healths)
            if health.failed:
                stop.append(_unhealthy(container, status, health.failed, "will be restarted"))
                start.append(container["name"])
            if not health.started and not passed:
                return start, stop, False
            continue
        if passed:
            continue
        if status is None:
            return [*start, container["name"]], stop, False
        if status.state == "exited" and status.exit_code == 0:
            continue
        if wants_restart(spec, container, status, init=True):
            start.append(container["name"])
        return start, stop, False
    return start, stop, True


def _plan_regular(spec: Obj, observed: Observed, healths: Healths) -> tuple[list[str], list[Stop]]:
    start: list[str] = []
    stop: list[Stop] = []
    for container in spec["containers"]:
        name = container["name"]
        status = observed.current(name)
        if status is None:
            last = observed.latest(name)  # of an earlier sandbox: it may have done its work already
            if last is None or last.state == "running" or wants_restart(spec, container, last):
                start.append(name)
            continue
        if status.state != "running":
            if wants_restart(spec, container, status):
                start.append(name)
            continue
        image = observed.images.get(status.id)
        failed = health_of(container, status, healths).failed
        if image is not None and image != container["image"]:
            stop.append(Stop(name, status.id, f"Container {name} definition changed, will be restarted"))
            start.append(name)
        elif failed:
            restart = restart_policy(spec, container) != "Never"
            stop.append(_unhealthy(container, status, failed, "will be restarted" if restart else ""))
            if restart:
                start.append(name)
    return start, stop


def _unhealthy(container: Obj, status: ContainerStatus, probe: str, then: str) -> Stop:
    message = f"Container {container['name']} failed {probe} probe" + (f", {then}" if then else "")
    return Stop(container["name"], status.id, message, probe)


def _all_done(spec: Obj, observed: Observed) -> bool:
    """Tell whether every regular container has ended for good."""
    return all((s := observed.latest(c["name"])) is not None and s.state == "exited"
               and not wants_restart(spec, c, s) for c in spec["containers"])
