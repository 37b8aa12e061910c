"""What Endpoints and EndpointSlices have in common: which pods stand behind a Service, and when to look again.

    Service event ─► its key ────────────────┐
    Pod event ─► Services that select it ────┴─► workqueue; the more pods, the longer news wait for more

A burst of a thousand pods so costs a handful of writes and not a thousand.

Invariant: a pod whose change no endpoint can show wakes nobody.
Models:    the shared parts of pkg/controller/endpoint and k8s.io/endpointslice
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informer, Informers
from kubelab.control_plane.controllers.pods import POD_INDEXERS, is_finished, is_ready
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import is_terminating, key_of
from kubelab.machinery.request import Obj

HEADLESS = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
TOGETHER_S_PER_POD, TOGETHER_MOST_S = 0.0005, 0.5
TOGETHER_FROM_PODS = 20  # Services with fewer pods are brought up to date at once


def selects(service: Obj, labels: dict[str, str]) -> bool:
    """Tell whether a Service with a selector chooses these labels."""
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= labels.items()


def address_of(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("podIP") or "")


def may_serve(pod: Obj, terminating_too: bool) -> bool:
    """Tell whether the pod belongs among the endpoints at all, ready or not."""
    return bool(address_of(pod)) and not is_finished(pod) and (terminating_too or not is_terminating(pod))


def shown(pod: Obj) -> tuple[Any, ...]:
    """Name everything of a pod that endpoints show."""
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    return (meta.get("labels"), "deletionTimestamp" in meta, status.get("podIP"), status.get("phase"), is_ready(pod),
            spec.get("nodeName"), spec.get("hostname"), spec.get("subdomain"))


def target_port(port: Obj, pod: Obj) -> int | None:
    """Resolve a Service port's targetPort in a pod: a number, or the name of a container port."""
    target = port.get("targetPort", port.get("port"))
    if isinstance(target, int):
        return target
    for container in (*pod["spec"].get("containers", ()), *_sidecars(pod)):
        for candidate in container.get("ports") or ():
            if candidate.get("name") == target and candidate.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(candidate["containerPort"])
    return None


def _sidecars(pod: Obj) -> list[Obj]:
    return [c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"]


def hostname_of(pod: Obj, service: Obj) -> str:
    """Return the name under which a headless Service knows this pod, "" for none."""
    spec = pod["spec"]
    return str(spec.get("hostname", "")) if spec.get("subdomain") == service["metadata"]["name"] else ""


def target_ref(pod: Obj) -> Obj:
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def is_headless(service: Obj) -> bool:
    return service["spec"].get("clusterIP") in ("None", "", None)


class ServicePodsController(Controller):
    """Base: keeps the queue of Services. A subclass writes what stands behind one."""

    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 more: Sequence[Informer] = ()) -> None:
        self.client = client
        self.services = informers.of("services", indexers={"namespace": POD_INDEXERS["namespace"]})
        self.pods = informers.of("pods", indexers=POD_INDEXERS)
        super().__init__(name, clock=clock, journal=journal, informers=(self.services, self.pods, *more), workers=5)
        self._sizes: dict[str, int] = {}  # Service key → pods behind it when last looked at
        self._changed_at: dict[str, float] = {}  # Service key → oldest change not yet written
        self.services.on_event(self._on_service)
        self.pods.on_event(self._on_pod)

    def _on_service(self, type_: str, service: Obj, old: Obj | None) -> None:
        key = key_of(service)
        if type_ == "DELETED":
            self._sizes.pop(key, None)
            self._changed_at.pop(key, None)
        else:
            self._changed_at.setdefault(key, self.clock.now())
        self.queue.add(key)

    def _on_pod(self, type_: str, pod: Obj, old: Obj | None) -> None:
        if type_ == "MODIFIED" and old is not None and shown(pod) == shown(old):
            return
        namespace = pod["metadata"]["namespace"]
        label_sets = [o["metadata"].get("labels") or {} for o in (pod, old) if o is not None]
        for service in self.services.by_index("namespace", namespace):
            if any(selects(service, labels) for labels in label_sets):
                key = f"{namespace}/{service['metadata']['name']}"
                if type_ != "DELETED" and not is_terminating(pod):  # what goes brings no time that could be shown
                    self._changed_at.setdefault(key, self.clock.now())
                pods = self._sizes[key] = self._sizes.get(key, 0) + (type_ == "ADDED")
                self.queue.add_after(key, self._together_s(pods))

    @staticmethod
    def _together_s(pods: int) -> float:
        return min(pods * TOGETHER_S_PER_POD, TOGETHER_MOST_S) if pods >= TOGETHER_FROM_PODS else 0.0

    def _pods_of(self, service: Obj) -> list[Obj]:
        namespace = service["metadata"]["namespace"]
        selector = service["spec"]["selector"].items()
        found = [pod for pod in self.pods.by_index("namespace", namespace)
                 if selector <= (pod["metadata"].get("labels") or {}).items()]
        self._sizes[key_of(service)] = len(found)
        return found

    def _trigger(self, key: str, annotations: dict[str, str]) -> dict[str, str]:
        """Put the time of the change that led to this write into the annotations, in place of an earlier one."""
        since = self._changed_at.pop(key, None)
        kept = {name: value for name, value in annotations.items() if name != TRIGGER_TIME}
        return kept if since is None else {**kept, TRIGGER_TIME: timestamp(since)}


def copied_labels(service: Obj, ours: Iterable[str]) -> dict[str, str]:
    """Return the Service's labels without those that the controllers set themselves."""
    ours = set(ours)
    return {k: v for k, v in (service["metadata"].get("labels") or {}).items() if k not in ours}
