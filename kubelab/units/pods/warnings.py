"""What is allowed in a pod or a template, but unwise.

    metadata.name: this is used in Pod names and hostnames, ...
    spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply

Invariant: nothing here refuses anything; what changes a pod is not warned about, what changes a template is.
Models:    pkg/api/pod/warnings.go and the workloads' strategies of kube-apiserver
Left out:  overlapping paths in projected volumes
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kubelab.machinery import names
from kubelab.machinery.errors import shown
from kubelab.machinery.request import Obj
from kubelab.units.addresses import ip_warnings
from kubelab.units.pods.annotations import APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD
from kubelab.units.warnings import LABELS, VOLUMES, Warnings, claim_spec, fractions, node_term

ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
PROFILE = 'deprecated since v1.30; use the "appArmorProfile" field instead'
NO_SELECTOR = "a null labelSelector results in matching no pod"
NEGATIVE = "must be >= 0; negative values are invalid and will be treated as 1"
UNWISE = "which can result in surprising behavior; a DNS label is recommended"
IN_NAMES = f"this is used in Pod names and hostnames, {UNWISE}"
IN_HOSTNAME = f"this is used in the Pod's hostname, {UNWISE}"
BYTES = ("memory", "ephemeral-storage")
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
MUST, SHOULD = (f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred"))


def workload(*path: str, named: bool = True,
             also: Callable[[Obj], Iterable[str]] = lambda obj: ()) -> Callable[[Obj, Obj | None], Iterable[str]]:
    """Return the warnings of a kind that has a pod template at `path`, and names its pods after itself if `named`.

    `also`: what else there is to say whenever the template is looked at.
    """
    prefix = ".".join(path) + "."

    def found(new: Obj, old: Obj | None) -> Iterable[str]:
        if old is None and named:
            yield from _named(new, IN_NAMES)
        if old is None or new["metadata"].get("generation") != old["metadata"].get("generation"):
            template: Any = new
            for key in path:
                template = template.get(key) or {}
            yield from also(new)
            yield from _template(prefix, template)

    return found


def pod(new: Obj, old: Obj | None) -> Iterable[str]:
    """Return the warnings of a new pod; what changes one writes often, and is no person."""
    if old is None:
        yield from _named(new, IN_HOSTNAME)
        yield from _template("", new)


def _named(obj: Obj, why: str) -> Warnings:
    errors = names.dns1123_label_errors(obj["metadata"].get("name") or "")
    if errors:
        yield f"metadata.name: {why}: [{' '.join(errors)}]"


def _template(prefix: str, template: Obj) -> Warnings:
    spec, path, notes = template.get("spec") or {}, f"{prefix}spec", f"{prefix}metadata.annotations"
    given = (template.get("metadata") or {}).get("annotations") or {}
    yield from (f"{path}.nodeSelector[{key}]: {LABELS[key]}" for key in spec.get("nodeSelector") or () if key in LABELS)
    yield from _nodes(f"{path}.affinity.nodeAffinity", (spec.get("affinity") or {}).get("nodeAffinity") or {})
    for i, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        where, key = f"{path}.topologySpreadConstraints[{i}]", spread.get("topologyKey")
        if key in LABELS:
            yield f"{where}.topologyKey: {key} is {LABELS[key]}"
        if spread.get("labelSelector") is None:
            yield f"{where}.labelSelector: {NO_SELECTOR}"
    yield from (f"{notes}[{key}]: {why}" for key, why in ANNOTATIONS.items() if key in given)
    yield from _volumes(f"{path}.volumes", spec)
    yield from _twice(path, spec)
    yield from fractions(f"{path}.overhead", spec.get("overhead"), BYTES)
    if SECCOMP_POD in given and (spec.get("securityContext") or {}).get("seccompProfile") is None:
        yield f"{notes}[{SECCOMP_POD}]: {SECCOMP}"
    for one, where in _each(path, spec):
        yield from _profiles(notes, given, one, spec, of_template=bool(prefix))
        yield from _container(where, one)
    yield from _ports(path, spec)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{path}.terminationGracePeriodSeconds: {NEGATIVE}"
    for kind in ("podAffinity", "podAntiAffinity"):
        yield from _pods(f"{path}.affinity.{kind}", (spec.get("affinity") or {}).get(kind) or {})


def _each(path: str, spec: Obj) -> Iterator[tuple[Obj, str]]:
    for key in CONTAINERS:
        for i, one in enumerate(spec.get(key) or ()):
            yield one, f"{path}.{key}[{i}]"


def _nodes(path: str, affinity: Obj) -> Warnings:
    for i, term in enumerate((affinity.get(MUST) or {}).get("nodeSelectorTerms") or ()):
        yield from node_term(f"{path}.{MUST}.nodeSelectorTerms[{i}]", term, values=False)
    for i, one in enumerate(affinity.get(SHOULD) or ()):
        yield from node_term(f"{path}.{SHOULD}[{i}].preference", one.get("preference") or {}, values=True)


def _pods(path: str, affinity: Obj) -> Warnings:
    for i, term in enumerate(affinity.get(MUST) or ()):
        if term.get("labelSelector") is None:
            yield f"{path}.{MUST}[{i}].labelSelector: {NO_SELECTOR}"
    for i, one in enumerate(affinity.get(SHOULD) or ()):
        if (one.get("podAffinityTerm") or {}).get("labelSelector") is None:
            yield f"{path}.{SHOULD}[{i}].podAffinityTerm.labelSelector: {NO_SELECTOR}"


def _volumes(path: str, spec: Obj) -> Warnings:
    for i, volume in enumerate(spec.get("volumes") or ()):
        for key in volume:
            if key in VOLUMES:
                yield f"{path}[{i}].{'storageOS' if key == 'storageos' else key}: {VOLUMES[key]}"
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template is not None:
            yield from claim_spec(template.get("spec") or {}, f"{path}[{i}].ephemeral.volumeClaimTemplate.spec")


def _twice(path: str, spec: Obj) -> Warnings:
    """What is listed more than once, and names that are none."""
    for field, key in (("hostAliases", "ip"), ("imagePullSecrets", "name")):
        values = [one.get(key, "") for one in spec.get(field) or ()]
        yield from (f"{path}.{field}[{i}].{key}: duplicate {key} {shown(value)}" for i, value in enumerate(values)
                    if value in values[:i])
        for i, value in enumerate(values):
            if field == "hostAliases":
                yield from ip_warnings(f"{path}.{field}[{i}].{key}", value)
            elif not value:
                yield f'{path}.{field}[{i}].{key}: invalid empty name ""'
    for i, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield from ip_warnings(f"{path}.dnsConfig.nameservers[{i}]", server)


def _profiles(path: str, notes: Obj, one: Obj, spec: Obj, of_template: bool) -> Warnings:
    """What an annotation says of a container that a field of it, or of a template's pod, should say."""
    own, whole = (of.get("securityContext") or {} for of in (one, spec))
    for prefix, fields, why in ((SECCOMP_CONTAINER, (own.get("seccompProfile"),), SECCOMP),
                                (APP_ARMOR, (own.get("appArmorProfile"), whole.get("appArmorProfile")), PROFILE)):
        key = f"{prefix}{one.get('name', '')}"
        if key in notes and not any(fields) and (of_template or prefix == SECCOMP_CONTAINER):
            yield f"{path}[{key}]: {why}"


def _container(path: str, one: Obj) -> Warnings:
    resources = one.get("resources") or {}
    for name in BYTES:
        for part in ("limits", "requests"):
            yield from fractions(f"{path}.resources.{part}", resources.get(part), (name,))
    known: set[str] = set()
    for i, variable in enumerate(one.get("env") or ()):
        name, value = variable.get("name", ""), variable.get("value", "")
        reference = f"$({name})"  # one that builds on the other hides nothing
        if name in known and (variable.get("valueFrom") is not None or value == reference or reference not in value):
            yield f'{path}.env[{i}]: hides previous definition of "{name}", which may be dropped when using apply'
        known.add(name)


def _ports(path: str, spec: Obj) -> Warnings:
    """Ports of any two containers that are or may be the same."""
    seen: list[tuple[Obj, str]] = []
    for one, container in _each(path, spec):
        for i, port in enumerate(one.get("ports") or ()):
            where, host, outside = f"{container}.ports[{i}]", port.get("hostIP", ""), port.get("hostPort", 0)
            if host and not outside:
                yield f"{where}: hostIP set without hostPort: {_printed(port)}"
            for other, place in seen:
                if any(other.get(key) != port.get(key) for key in ("containerPort", "protocol")):
                    continue
                its_host, its_outside = other.get("hostIP", ""), other.get("hostPort", 0)
                if (host, outside) == (its_host, its_outside):
                    yield f"{where}: duplicate port definition with {place}"
                elif not outside or not its_outside:
                    yield f"{where}: overlapping port definition with {place}"
                elif outside == its_outside and bool(host) != bool(its_host):
                    yield f"{where}: dangerously ambiguous port definition with {place}"
            seen.append((port, where))


def _printed(port: Obj) -> str:
    return (f"{{Name:{port.get('name', '')} HostPort:{port.get('hostPort', 0)} ContainerPort:"
            f"{port.get('containerPort', 0)} Protocol:{port.get('protocol', '')} HostIP:{port.get('hostIP', '')}}}")
