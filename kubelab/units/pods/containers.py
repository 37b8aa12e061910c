"""What a container may look like: its name, image, ports, variables, mounts and resources, and when it starts again.

    containers ─┐                                    ┌─ hooks and probes   containers and sidecars
    initContainers ─┼─► what all have in common ─► ──┼─ none of these      init containers
    ephemeralContainers ─┘                           └─ even less          those that come later

Models: validateContainers, validateInitContainers and validateEphemeralContainers of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kubelab.machinery.errors import duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.pods.environment import env_errors
from kubelab.units.pods.mounts import device_errors, mount_errors
from kubelab.units.pods.probes import PROBES, hook_and_probe_errors
from kubelab.units.pods.security_context import container_security_errors
from kubelab.units.pods.volumes import Volumes
from kubelab.units.resource_validation import claim_errors, resize_errors, resource_errors

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
RESTART_POLICIES = ("Always", "Never", "OnFailure")
RESTART_ACTIONS = ("Restart", "RestartAllContainers")
MAX_RESTART_RULES, MAX_EXIT_CODES = 20, 255
ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"
NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"
# In the order of the struct.
FORBIDDEN_LATER = ("ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", *PROBES, "lifecycle")


@dataclass(frozen=True, slots=True)
class Place:
    """Where containers stand: the spec around them, its path, and the volumes that they may mount."""

    spec: Obj
    path: str
    volumes: Volumes

    def each(self, key: str) -> Iterator[tuple[Obj, str]]:
        for i, one in enumerate(self.spec.get(key) or ()):
            yield one, f"{self.path}.{key}[{i}]"

    @property
    def grace_s(self) -> int:
        return int(self.spec.get("terminationGracePeriodSeconds", 30))


def container_errors(place: Place) -> rules.Errors:
    if not place.spec.get("containers"):
        yield required(f"{place.path}.containers")
        return
    seen = set()
    for one, field in place.each("containers"):
        yield from _common(one, field, place)
        if one.get("name", "") in seen:
            yield duplicate(f"{field}.name", one.get("name", ""))
        seen.add(one.get("name", ""))
        yield from hook_and_probe_errors(one, place.grace_s, field)
        yield from _restart_errors(one, field)
    yield from _port_conflicts(place.spec["containers"], f"{place.path}.containers")


def init_container_errors(place: Place) -> rules.Errors:
    seen = {c.get("name", "") for c in place.spec.get("containers") or ()}
    for one, field in place.each("initContainers"):
        name = one.get("name", "")
        yield from _common(one, field, place)
        yield from _restart_errors(one, field)
        if name in seen:
            yield duplicate(f"{field}.name", name)
        seen |= {name} - {""}
        yield from _port_conflicts([one], f"{place.path}.initContainers")
        if one.get("restartPolicy") == "Always":
            yield from hook_and_probe_errors(one, place.grace_s, field)
        else:
            yield from (rules.forbidden(f"{field}.{key}", ONLY_SIDECARS) for key in ("lifecycle", *PROBES)
                        if one.get(key) is not None)


def ephemeral_container_errors(place: Place) -> rules.Errors:
    others = {c.get("name", "") for key in ("containers", "initContainers") for c in place.spec.get(key) or ()}
    seen = set(others)
    for one, field in place.each("ephemeralContainers"):
        name, target = one.get("name", ""), one.get("targetContainerName", "")
        yield from _common(one, field, place)
        yield from image_errors(one, field)
        if name in seen:
            yield duplicate(f"{field}.name", name)
        seen.add(name)
        if target and target not in others:
            yield rules.not_found(f"{field}.targetContainerName", target)
        yield from (rules.forbidden(f"{field}.{key}", NOT_EPHEMERAL) for key in FORBIDDEN_LATER if one.get(key))
        for i, mount in enumerate(one.get("volumeMounts") or ()):
            yield from (rules.forbidden(f"{field}.volumeMounts[{i}].{key}", NOT_EPHEMERAL)
                        for key in ("subPath", "subPathExpr") if mount.get(key))


def _common(one: Obj, path: str, place: Place) -> rules.Errors:
    name, spec = one.get("name", ""), place.spec
    yield from rules.label_name(f"{path}.name", name) if name else [required(f"{path}.name")]
    if not one.get("image"):
        yield required(f"{path}.image")
    yield from rules.one_of(f"{path}.terminationMessagePolicy", one.get("terminationMessagePolicy"), MESSAGE_POLICIES)
    yield from _port_errors(one.get("ports") or (), f"{path}.ports")
    yield from env_errors(one, path)
    yield from mount_errors(one, place.volumes, path)
    yield from device_errors(one, place.volumes, path)
    yield from rules.one_of(f"{path}.imagePullPolicy", one.get("imagePullPolicy"), PULL_POLICIES)
    yield from resource_errors(one.get("resources") or {}, f"{path}.resources")
    yield from claim_errors(one.get("resources") or {}, spec, f"{path}.resources.claims")
    yield from resize_errors(one.get("resizePolicy") or (), spec, f"{path}.resizePolicy")
    yield from container_security_errors(one.get("securityContext") or {}, f"{path}.securityContext",
                                         spec.get("hostUsers") is not False)


def image_errors(one: Obj, path: str) -> rules.Errors:
    """What is wrong with an image in a pod; templates may have more around its name."""
    image = one.get("image", "")
    if image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")


def _restart_errors(one: Obj, path: str) -> rules.Errors:
    """What is wrong with when a container starts again, other than its pod says."""
    policy, found = one.get("restartPolicy"), one.get("restartPolicyRules") or ()
    yield from rules.known(f"{path}.restartPolicy", policy, RESTART_POLICIES)
    if found and policy is None:
        yield required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
    if len(found) > MAX_RESTART_RULES:
        yield rules.too_many(f"{path}.restartPolicyRules", len(found), MAX_RESTART_RULES)
    for i, rule in enumerate(found):
        field, codes = f"{path}.restartPolicyRules[{i}]", rule.get("exitCodes")
        yield from rules.known(f"{field}.action", rule.get("action", ""), RESTART_ACTIONS)
        if codes is None:
            yield required(f"{field}.exitCodes", "must be specified")
            continue
        yield from rules.known(f"{field}.exitCodes.operator", codes.get("operator", ""), ("In", "NotIn"))
        if len(codes.get("values") or ()) > MAX_EXIT_CODES:
            yield rules.too_many(f"{field}.exitCodes.values", len(codes["values"]), MAX_EXIT_CODES)


def _port_errors(ports: Sequence[Obj], path: str) -> rules.Errors:
    seen = set()
    for i, port in enumerate(ports):
        field, name = f"{path}[{i}]", port.get("name", "")
        if name:
            wrong = list(rules.port_name(f"{field}.name", name))
            yield from wrong
            if not wrong and name in seen:
                yield duplicate(f"{field}.name", name)
            seen.add(name)
        if not port.get("containerPort"):
            yield required(f"{field}.containerPort")
        else:
            yield from rules.port_number(f"{field}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            yield from rules.port_number(f"{field}.hostPort", port["hostPort"])
        yield from rules.one_of(f"{field}.protocol", port.get("protocol"), rules.PROTOCOLS)


def host_port_errors(place: Place, in_pod: bool) -> rules.Errors:
    """On the host's own network a port is the same inside and outside; a template may leave that to the pod."""
    if not place.spec.get("hostNetwork"):
        return
    for one, field in place.each("containers"):
        for i, port in enumerate(one.get("ports") or ()):
            outside, inside = port.get("hostPort", 0), port.get("containerPort", 0)
            if outside != inside and (outside or in_pod):
                yield invalid_value(f"{field}.ports[{i}].hostPort", outside,
                                    "must match `containerPort` when `hostNetwork` is true")


def _port_conflicts(containers: Sequence[Obj], path: str) -> rules.Errors:
    seen = set()
    for i, one in enumerate(containers):
        for j, port in enumerate(one.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in seen:
                yield duplicate(f"{path}[{i}].ports[{j}].hostPort", key)
            seen.add(key)
