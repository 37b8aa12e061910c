"""What containers may ask for: requests and limits of cpu, memory, storage and extended resources.

Models: ValidateContainerResourceRequirements of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kubelab.machinery import names, quantity
from kubelab.machinery.errors import duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

CONTAINER_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
COUNTED = frozenset({"pods", "services", "secrets", "configmaps", "replicationcontrollers", "resourcequotas",
                     "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"})
STANDARD = CONTAINER_RESOURCES | COUNTED | {
    "storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "requests.storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage"}
HUGE = "hugepages-"


RESIZES = ("NotRequired", "RestartContainer")


def claim_errors(resources: Obj, spec: Obj, path: str) -> rules.Errors:
    """What a container uses of the claims of its pod."""
    known, seen = {claim.get("name") for claim in spec.get("resourceClaims") or ()}, set()
    for i, claim in enumerate(resources.get("claims") or ()):
        name = claim.get("name", "")
        if not name:
            yield required(f"{path}[{i}]")
        elif name in seen:
            yield duplicate(f"{path}[{i}]", name)
        elif name not in known:
            where = "must be one of the names in pod.spec.resourceClaims" + ("" if known else " which is empty")
            yield replace(rules.not_found(f"{path}[{i}]", name), message=f'Not found: "{name}": {where}')
        seen.add(name)


def resize_errors(policies: Sequence[Obj], spec: Obj, path: str) -> rules.Errors:
    seen = set()
    for i, policy in enumerate(policies):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name not in ("cpu", "memory"):
            yield rules.unsupported(path, name, ("cpu", "memory"))
        elif name in seen:
            yield duplicate(f"{path}[{i}]", name)
        seen.add(name)
        if not restart:
            yield required(path)
        elif restart not in RESIZES:
            yield rules.unsupported(path, restart, RESIZES)
        elif spec.get("restartPolicy") == "Never" and restart != "NotRequired":
            yield invalid_value(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def resource_errors(resources: Obj, path: str) -> rules.Errors:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name in sorted(limits):
        yield from _one(name, limits[name], f"{path}.limits[{name}]")
    for name in sorted(requests):
        yield from _one(name, requests[name], f"{path}.requests[{name}]")
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
            yield rules.forbidden(f"{path}.limits", "Limit must be set for non overcommitable resources")
    huge = any(name.startswith(HUGE) for name in (*limits, *requests))
    if huge and not {"cpu", "memory"} & {*limits, *requests}:
        yield rules.forbidden(path, "HugePages require cpu or memory")


def overcommits(name: str) -> bool:
    """Standard resources may be promised more often than they are there; extended ones may not."""
    return _is_native(name) and not name.startswith(HUGE)


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _one(name: str, amount: str | int, path: str) -> rules.Errors:
    yield from container_resource_errors(name, path)
    yield from amount_errors(name, amount, path)


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
