"""Rules for what controllers report: counts that are not negative and not more than there is, addresses that are ones.

Models: ValidateDeploymentStatus and its siblings in pkg/apis/{apps,batch,core}/validation of kube-apiserver
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.names import dns1123_subdomain_errors, regex_message
from kubelab.machinery.request import Obj
from kubelab.units import rules

TOO_MANY = "cannot be greater than status.replicas"
STATUSES = ("False", "True", "Unknown")
MAX_REASON, MAX_MESSAGE = 1024, 32 * 1024
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
REASON = regex_message(
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_'", _REASON.pattern,
    "my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
Check = Callable[[Obj, Obj, str], Sequence[FieldError]]


def counts(*names: str, within: tuple[str, ...] = (), ready: str = "readyReplicas") -> Check:
    """Return a rule: these counts are not negative, and those of `within` are at most `status.replicas`.

    `ready`: how upstream calls the count that no more can be available than.
    """
    def check(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
        status, before = new.get("status") or {}, old.get("status") or {}
        return [*_count_errors(status, names), *_share_errors(status, within, ready),
                *_collision_errors(status, before)]

    return check


def _count_errors(status: Obj, names: Sequence[str]) -> rules.Errors:
    for name in names:
        yield from rules.not_negative(f"status.{name}", status.get(name))


def _share_errors(status: Obj, within: Sequence[str], ready: str) -> rules.Errors:
    replicas, available = status.get("replicas") or 0, status.get("availableReplicas") or 0
    for name in within:
        if (status.get(name) or 0) > replicas:
            yield invalid_value(f"status.{name}", status.get(name) or 0, TOO_MANY)
    if "availableReplicas" in within and available > (status.get("readyReplicas") or 0):
        yield invalid_value("status.availableReplicas", available, f"cannot be greater than {ready}")


def _collision_errors(status: Obj, before: Obj) -> rules.Errors:
    collisions = before.get("collisionCount")
    if collisions is not None and (status.get("collisionCount") or 0) < collisions:
        yield invalid_value("status.collisionCount", status.get("collisionCount") or 0, "cannot be decremented")


DEPLOYMENT = counts("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
                    "unavailableReplicas", "terminatingReplicas", "collisionCount",
                    within=("updatedReplicas", "readyReplicas", "availableReplicas"))
REPLICAS = counts("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas",
                  "observedGeneration", within=("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))
STATEFUL_SET = counts("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas",
                      "observedGeneration", "collisionCount", ready="status.readyReplicas",
                      within=("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"))
DAEMON_SET = counts("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
                    "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
                    "collisionCount")


def condition_errors(conditions: Sequence[Obj], path: str) -> rules.Errors:
    """What is wrong with conditions of the common kind (metav1.Condition)."""
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        field, type_, reason = f"{path}[{i}]", condition.get("type", ""), condition.get("reason", "")
        if type_ in seen:
            yield duplicate(f"{field}.type", type_)
        seen.add(type_)
        yield from rules.qualified_name(f"{field}.type", type_)
        if condition.get("status") not in STATUSES:
            yield rules.unsupported(f"{field}.status", condition.get("status", ""), STATUSES)
        if (condition.get("observedGeneration") or 0) < 0:
            yield invalid_value(f"{field}.observedGeneration", condition["observedGeneration"],
                                "must be greater than or equal to zero")
        if not condition.get("lastTransitionTime"):
            yield required(f"{field}.lastTransitionTime")
        if not reason:
            yield required(f"{field}.reason")
        elif not _REASON.fullmatch(reason):
            yield invalid_value(f"{field}.reason", reason, REASON)
        for key, limit in (("reason", MAX_REASON), ("message", MAX_MESSAGE)):
            if len(condition.get(key, "")) > limit:
                yield rules.too_long(f"{field}.{key}", limit)


def load_balancer(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    """Return what is wrong with the addresses of a load balancer in the status of a Service or an Ingress."""
    return list(_address_errors(new))


def _address_errors(obj: Obj) -> rules.Errors:
    path, found = "status.loadBalancer.ingress", ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if found and obj["kind"] == "Service" and obj["spec"].get("type") != "LoadBalancer":
        yield rules.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for i, one in enumerate(found or ()):
        if one.get("ip"):
            yield from rules.ip_address(f"{path}[{i}].ip", one["ip"])
        if obj["kind"] == "Service":
            yield from _mode_errors(f"{path}[{i}].ipMode", one)
        host = one.get("hostname")
        if host:
            yield from rules.messages(f"{path}[{i}].hostname", host, dns1123_subdomain_errors)
            if rules.is_ip(host):
                yield invalid_value(f"{path}[{i}].hostname", host, "must be a DNS name, not an IP address")


def _mode_errors(field: str, one: Obj) -> rules.Errors:
    mode = one.get("ipMode")
    if mode is None:
        if one.get("ip"):
            yield required(field, "must be specified when `ip` is set")
    elif not one.get("ip"):
        yield rules.forbidden(field, "may not be specified when `ip` is not set")
    else:
        yield from rules.known(field, mode, ("Proxy", "VIP"))
