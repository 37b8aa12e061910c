"""What may be written to a pod's status, to its ephemeral containers and to the resources of its containers.

    pods/status  ephemeralcontainers  resize ─► validate_part

Models:   ValidatePodStatusUpdate, ValidatePodEphemeralContainersUpdate and ValidatePodResize of core/validation
Left out: the health of devices, the users that containers really run as
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubelab.machinery.errors import FieldError, duplicate, invalid_value
from kubelab.machinery.request import Obj
from kubelab.units import go_shapes, rules
from kubelab.units.pods.annotations import MIRROR, annotation_changes
from kubelab.units.pods.defaults import qos_class

KUBELETS_OWN = ("PodScheduled", "Ready", "Initialized")
RUNNING_ON = "may not be transitioned to non-terminated state"
FAMILIES = "may specify no more than one IP for each IP family"
OF_AMOUNTS = ("limits", "requests")
RESIZED = ("cpu", "memory")


def validate_part(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    """Return what is wrong with a write to a part of a pod, beside what would be wrong with it in any pod."""
    if subresource == "status":
        return [*annotation_changes(new, old, "metadata.annotations"), *_status_errors(new, old)]
    if MIRROR in (old["metadata"].get("annotations") or {}):
        what = "do not support ephemeral containers" if subresource == "ephemeralcontainers" else "cannot be resized"
        return [rules.forbidden("", f"static pods {what}")]
    if subresource == "ephemeralcontainers":
        return [*annotation_changes(new, old, "metadata.annotations"), *_ephemeral_errors(new["spec"], old["spec"])]
    return list(_resize_errors(new, old))


def _status_errors(new: Obj, old: Obj) -> rules.Errors:
    status, before, spec = new.get("status") or {}, old.get("status") or {}, old["spec"]
    for i, condition in enumerate(status.get("conditions") or ()):
        if condition.get("type") not in KUBELETS_OWN:
            yield from rules.qualified_name(f"metadata.conditions[{i}].Type", condition.get("type", ""))
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        yield from rules.subdomain_name("status.nominatedNodeName", nominated)
    yield from rules.immutable("status.qosClass", status.get("qosClass", ""), before.get("qosClass", ""))
    policy = spec.get("restartPolicy", "Always")
    for key, policy_of in (("containerStatuses", policy), ("initContainerStatuses", policy),
                           ("ephemeralContainerStatuses", "Never")):
        yield from _state_errors(status.get(key) or (), before.get(key) or (), f"status.{key}", policy_of, spec)
    yield from _claim_errors(status.get("resourceClaimStatuses") or (), spec, "status.resourceClaimStatuses")
    yield from _address_errors(status.get("podIPs") or (), "status.podIPs")
    host = status.get("hostIPs") or ()
    if host and host[0].get("ip", "") != status.get("hostIP", ""):
        yield invalid_value("status.hostIPs[0].ip", host[0].get("ip", ""), "must be equal to `hostIP`")
    yield from _address_errors(host, "status.hostIPs")


def _state_errors(new: Sequence[Obj], old: Sequence[Obj], path: str, policy: str, spec: Obj) -> rules.Errors:
    """A container that has ended stays so, unless something says that it is started again."""
    running = {one.get("name") for one in new if (one.get("state") or {}).get("terminated") is None}
    for i, one in enumerate(old if policy != "Always" else ()):
        ended = (one.get("state") or {}).get("terminated")
        if ended is None or one.get("name") not in running or (policy == "OnFailure" and ended.get("exitCode")):
            continue
        if not _restarts(spec, one["name"]):
            yield rules.forbidden(f"{path}[{i}].state", RUNNING_ON)


def _restarts(spec: Obj, name: str) -> bool:
    """Say whether a container has a restart policy of its own: sidecars do."""
    containers = (*(spec.get("initContainers") or ()), *spec["containers"])
    return any(one["name"] == name and one.get("restartPolicy") for one in containers)


def _claim_errors(statuses: Sequence[Obj], spec: Obj, path: str) -> rules.Errors:
    known, seen = {claim.get("name") for claim in spec.get("resourceClaims") or ()}, set()
    for i, status in enumerate(statuses):
        name, field = status.get("name", ""), f"{path}[{i}].name"
        if name not in known:
            yield invalid_value(field, name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            yield duplicate(field, name)
        seen.add(name)
        if status.get("resourceClaimName") is not None:
            yield from rules.subdomain_name(field, status["resourceClaimName"])


def _address_errors(addresses: Sequence[Obj], path: str) -> rules.Errors:
    texts = [one.get("ip", "") for one in addresses]
    for i, text in enumerate(texts):
        yield from rules.ip_address(f"{path}[{i}]", text)
    if len(texts) > 2 or (len(texts) == 2 and len({":" in text for text in texts}) == 1):
        yield rules.invalid_struct(path, [{"IP": text} for text in texts], FAMILIES)
    yield from (rules.duplicate_struct(f"{path}[{i}]", {"IP": text}) for i, text in enumerate(texts)
                if text in texts[:i])


def _ephemeral_errors(new: Obj, old: Obj) -> rules.Errors:
    field = "spec.ephemeralContainers"
    there = {one.get("name", ""): one for one in new.get("ephemeralContainers") or ()}
    for one in old.get("ephemeralContainers") or ():
        if one["name"] not in there:
            yield rules.forbidden(field, f'existing ephemeral containers "{one["name"]}" may not be removed\n')
        elif there[one["name"]] != one:
            yield rules.forbidden(field, f'existing ephemeral containers "{one["name"]}" may not be changed\n'
                                         + go_shapes.difference(
                                             *(go_shapes.printed(go_shapes.EPHEMERAL, c)
                                               for c in (one, there[one["name"]]))))


def _resize_errors(new: Obj, old: Obj) -> rules.Errors:
    after, before = new["spec"], old["spec"]
    if (before.get("os") or {}).get("name") == "windows":
        yield rules.forbidden("", "windows pods cannot be resized")
        return
    quality = (old.get("status") or {}).get("qosClass") or qos_class(before)
    if quality != qos_class(after):
        yield invalid_value("spec", quality, "Pod QOS Class may not change as a result of resizing")
    running = [one for one in (old.get("status") or {}).get("containerStatuses") or ()
               if (one.get("state") or {}).get("running") is not None]
    if running and running[0].get("resources") is None:
        yield rules.forbidden("spec", "Pod running on node without support for resize")
    for key in ("initContainers", "containers"):
        for i, (one, was) in enumerate(_pairs(after, before, key)):
            if key == "containers" or was.get("restartPolicy") == "Always":
                yield from _removed_errors(one.get("resources") or {}, was.get("resources") or {},
                                           f"spec.{key}[{i}].resources")
    for one, was in _pairs(after, before, "containers"):
        if _fixed(one, was) != _fixed(was, was):
            yield rules.forbidden("spec", "only cpu and memory resources are mutable")
    for one, was in _pairs(after, before, "initContainers"):
        if was.get("restartPolicy") != "Always":
            if one != was:
                yield rules.forbidden("spec", "resources for non-sidecar init containers are immutable")
        elif _fixed(one, was) != _fixed(was, was):
            yield rules.forbidden("spec", "only cpu and memory resources for sidecar containers are mutable")


def _pairs(after: Obj, before: Obj, key: str) -> Iterator[tuple[Obj, Obj]]:
    return zip(after.get(key) or (), before.get(key) or (), strict=True)


def _removed_errors(new: Obj, old: Obj, path: str) -> rules.Errors:
    for part in ("requests", "limits"):
        if (old.get(part) or {}).keys() - (new.get(part) or {}).keys():
            yield rules.forbidden(f"{path}.{part}", f"resource {part} cannot be removed")


def _fixed(container: Obj, was: Obj) -> Obj:
    """Return a container without what of it may be resized."""
    resources, known = container.get("resources") or {}, was.get("resources") or {}
    kept = {part: {name: amount for name, amount in (resources.get(part) or {}).items() if name not in RESIZED}
            for part in OF_AMOUNTS if known.get(part)}
    return {**{k: v for k, v in container.items() if k != "resizePolicy"},
            "resources": {part: amounts for part, amounts in kept.items() if amounts}}
