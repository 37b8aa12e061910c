"""What containers may ask for: requests and limits of cpu, memory, storage and extended resources.

Models: ValidateContainerResourceRequirements of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from kubelab.machinery import names, quantity
from kubelab.machinery.errors import duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.pods.resources import container_amounts, written

CONTAINER_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
COUNTED = frozenset({"pods", "services", "secrets", "configmaps", "replicationcontrollers", "resourcequotas",
                     "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"})
STANDARD = CONTAINER_RESOURCES | COUNTED | {
    "storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "requests.storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage"}
HUGE = "hugepages-"
RESIZES = ("NotRequired", "RestartContainer")


def claim_errors(resources: Obj, spec: Obj, path: str) -> rules.Errors:
    """What a container uses of the claims of its pod: each once, or some of its requests."""
    known: list[str] = sorted({claim["name"] for claim in spec.get("resourceClaims") or () if claim.get("name")})
    seen: set[str] = set()
    for i, claim in enumerate(resources.get("claims") or ()):
        name, request, field = claim.get("name", ""), claim.get("request", ""), f"{path}[{i}]"
        if not name:
            yield required(field)
            continue
        key = f"{name}/{request}" if request else name
        if name in seen:
            yield duplicate(field, name)
        else:
            if request:
                yield from rules.label_name(f"{field}.request", request)
            same = [key] if key in seen else [] if request else [name for one in seen if one.startswith(f"{name}/")]
            yield from (duplicate(field, one) for one in same)
            seen.add(key)
        if name not in known:
            where = f": {', '.join(known)}" if known else " which is empty"
            yield replace(rules.not_found(field, name), message=f'Not found: "{name}": must be one of the names in '
                                                                f"pod.spec.resourceClaims{where}")


def resize_errors(policies: Sequence[Obj], spec: Obj, path: str) -> rules.Errors:
    seen = set()
    for i, policy in enumerate(policies):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            yield duplicate(f"{path}[{i}]", name)
        seen.add(name)
        yield from rules.one_of(path, name, ("cpu", "memory"))
        yield from rules.one_of(path, restart, RESIZES)
        if spec.get("restartPolicy") == "Never" and restart != "NotRequired":
            yield invalid_value(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def resource_errors(resources: Obj, path: str, check: Callable[[str, str], rules.Errors] | None = None) -> rules.Errors:
    """What is wrong with requests and limits; `check` says what a resource may be called, if not as in a container."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    check = check or container_resource_errors
    for name in sorted(limits):
        yield from check(name, f"{path}.limits[{name}]")
        yield from amount_errors(name, limits[name], f"{path}.limits[{name}]")
        yield from _page_errors(name, limits[name], f"{path}.limits[{name}]")
    for name in sorted(requests):
        yield from check(name, f"{path}.requests[{name}]")
        yield from amount_errors(name, requests[name], f"{path}.requests[{name}]")
        if name in limits:
            asked, allowed = quantity.parse(requests[name]), quantity.parse(limits[name])
            shown = quantity.canonical(limits[name])
            if asked != allowed and not overcommits(name):
                yield invalid_value(f"{path}.requests", str(requests[name]),
                                    f"must be equal to {name} limit of {shown}")
            elif asked > allowed:
                yield invalid_value(f"{path}.requests", str(requests[name]),
                                    f"must be less than or equal to {name} limit of {shown}")
        elif not overcommits(name):
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        yield from _page_errors(name, requests[name], f"{path}.requests[{name}]")
    huge = any(name.startswith(HUGE) for name in (*limits, *requests))
    if huge and not {"cpu", "memory"} & {*limits, *requests}:
        yield rules.forbidden(path, "HugePages require cpu or memory")


def overcommits(name: str) -> bool:
    """Standard resources may be promised more often than they are there; extended ones may not."""
    return _is_native(name) and not name.startswith(HUGE)


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _page_errors(name: str, amount: str | int, path: str) -> rules.Errors:
    """Huge pages come whole."""
    if name.startswith(HUGE):
        try:
            size, asked = quantity.parse(name.removeprefix(HUGE)), quantity.parse(amount)
            whole = size > 0 and asked > 0 and asked % size == 0
        except ValueError:
            whole = False
        if not whole:
            yield invalid_value(path, quantity.canonical(amount),
                                f"{quantity.canonical(amount)} is not positive integer multiple of {name}")


def amount_errors(name: str, amount: str | int, path: str) -> rules.Errors:
    """What is wrong with how much there is of a resource: what is counted comes in whole pieces."""
    yield from rules.quantity_not_negative(path, amount)
    if (name in COUNTED or is_extended(name)) and quantity.parse(amount).denominator != 1:
        yield invalid_value(path, str(amount), "must be an integer")


def is_extended(name: str) -> bool:
    return not _is_native(name) and not name.startswith("requests.") \
        and not names.qualified_name_errors(f"requests.{name}")


def resource_name_errors(name: str, path: str) -> rules.Errors:
    """What a resource may be called, in whatever is counted."""
    wrong = list(rules.messages(path, name, names.qualified_name_errors))
    yield from wrong
    known = name in STANDARD or name.removeprefix("requests.").startswith(HUGE)
    if not wrong and "/" not in name and not known:
        yield invalid_value(path, name, "must be a standard resource type or fully qualified")


def container_resource_errors(name: str, path: str) -> rules.Errors:
    """What a resource may be called that a container asks for."""
    yield from resource_name_errors(name, path)
    if "/" not in name:
        if name not in CONTAINER_RESOURCES and not name.startswith(HUGE):
            yield invalid_value(path, name, "must be a standard resource for containers")
    elif not _is_native(name) and not is_extended(name):
        yield invalid_value(path, name, "doesn't follow extended resource name standard")


def pod_resource_errors(spec: Obj, path: str) -> rules.Errors:
    """What is wrong with the resources of a pod as a whole: they are for all its containers."""
    resources = spec.get("resources")
    if resources is None:
        return
    if resources.get("claims") is not None:
        yield rules.forbidden(f"{path}.claims", "claims cannot be set for Resources at pod-level")
    yield from resource_errors(resources, path, _pod_resource_name_errors)
    requests, limits = (resources.get(which) or {} for which in ("requests", "limits"))
    for name, amount in sorted(container_amounts(spec, "requests").items()):
        if amount > quantity.parse(requests.get(name, "0")):
            yield invalid_value(
                f"{path}.requests[{name}]", quantity.canonical(requests.get(name, "0")),
                f"must be greater than or equal to aggregate container requests of {written(name, amount)}")
    for i, one in enumerate(spec.get("containers") or ()):
        for name, limit in sorted(((one.get("resources") or {}).get("limits") or {}).items()):
            if name in limits and quantity.parse(limit) > quantity.parse(limits[name]):
                yield invalid_value(f"{path}.containers[{i}][{name}].limits", quantity.canonical(limit),
                                    f"must be less than or equal to pod limits of {quantity.canonical(limits[name])}")


def _pod_resource_name_errors(name: str, path: str) -> rules.Errors:
    wrong = list(resource_name_errors(name, path))
    yield from wrong
    if not wrong and name not in ("cpu", "memory") and not name.startswith(HUGE):
        yield rules.unsupported(path, name, ("cpu", HUGE, "memory"))
