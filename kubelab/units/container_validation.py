"""What a container may look like: its name, image, ports, variables, mounts, resources, probes and hooks.

Models: validateContainerCommon, validateContainers and validateInitContainers of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.environment_validation import env_errors
from kubelab.units.mount_validation import device_errors, mount_errors
from kubelab.units.resource_validation import claim_errors, resize_errors, resource_errors

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
HOOKS = ("exec", "httpGet", "tcpSocket", "sleep")
ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"
SECURITY_FIELDS = (
    "Capabilities", "Privileged", "SELinuxOptions", "WindowsOptions", "RunAsUser", "RunAsGroup", "RunAsNonRoot",
    "ReadOnlyRootFilesystem", "AllowPrivilegeEscalation", "ProcMount", "SeccompProfile", "AppArmorProfile")


def container_errors(spec: Obj, volumes: set[str], path: str) -> rules.Errors:
    containers = spec.get("containers") or ()
    if not containers:
        yield required(path)
        return
    grace = spec.get("terminationGracePeriodSeconds", 30)
    seen = set()
    for i, one in enumerate(containers):
        field, name = f"{path}[{i}]", one.get("name", "")
        yield from _common(one, volumes, field, spec)
        if name in seen:
            yield duplicate(f"{field}.name", name)
        seen.add(name)
        yield from _hooks_and_probes(one, grace, field)
    yield from _port_conflicts(containers, path)


def init_container_errors(spec: Obj, volumes: set[str], path: str) -> rules.Errors:
    seen = {c.get("name", "") for c in spec.get("containers") or ()}
    for i, one in enumerate(spec.get("initContainers") or ()):
        field, name, policy = f"{path}.initContainers[{i}]", one.get("name", ""), one.get("restartPolicy")
        yield from _common(one, volumes, field, spec)
        if policy is not None and policy not in ("Always", "OnFailure", "Never"):
            yield rules.unsupported(f"{field}.restartPolicy", policy, ("Always",))
        if name and name in seen:
            yield duplicate(f"{field}.name", name)
        seen.add(name)
        if policy == "Always":
            yield from _hooks_and_probes(one, spec.get("terminationGracePeriodSeconds", 30), field)
        else:
            for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
                if one.get(key) is not None:
                    yield rules.forbidden(f"{field}.{key}", ONLY_SIDECARS)


def _common(one: Obj, volumes: set[str], path: str, spec: Obj) -> rules.Errors:
    name, image = one.get("name", ""), one.get("image", "")
    yield from rules.label_name(f"{path}.name", name) if name else [required(f"{path}.name")]
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from rules.one_of(f"{path}.terminationMessagePolicy", one.get("terminationMessagePolicy"), MESSAGE_POLICIES)
    yield from _port_errors(one.get("ports") or (), f"{path}.ports")
    yield from env_errors(one, path)
    yield from mount_errors(one, volumes, path)
    yield from device_errors(one, volumes, path)
    yield from rules.one_of(f"{path}.imagePullPolicy", one.get("imagePullPolicy"), PULL_POLICIES)
    yield from resource_errors(one.get("resources") or {}, f"{path}.resources")
    yield from claim_errors(one.get("resources") or {}, spec, f"{path}.resources.claims")
    yield from resize_errors(one.get("resizePolicy") or (), spec, f"{path}.resizePolicy")
    yield from _security_errors(one.get("securityContext") or {}, f"{path}.securityContext")


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


def host_port_errors(spec: Obj, path: str) -> rules.Errors:
    """On the host's own network a port is the same inside and outside."""
    if not spec.get("hostNetwork"):
        return
    for i, one in enumerate(spec.get("containers") or ()):
        for j, port in enumerate(one.get("ports") or ()):
            if port.get("hostPort") and port["hostPort"] != port.get("containerPort"):
                yield invalid_value(f"{path}.containers[{i}].ports[{j}].hostPort", port["hostPort"],
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


def _security_errors(context: Obj, path: str) -> rules.Errors:
    for field in ("runAsUser", "runAsGroup"):
        yield from rules.in_range(f"{path}.{field}", context.get(field), 0, rules.MAX_INT32)
    kind = context.get("procMount")
    if kind is not None and kind not in ("Default", "Unmasked"):
        yield rules.unsupported(f"{path}.procMount", kind, ("Default", "Unmasked"))
    yield from seccomp_errors(context.get("seccompProfile"), f"{path}.seccompProfile")
    yield from app_armor_errors(context.get("appArmorProfile"), f"{path}.appArmorProfile")
    if context.get("allowPrivilegeEscalation") is False:
        struct = {name: context.get(name[0].lower() + name[1:]) for name in SECURITY_FIELDS}
        added = (context.get("capabilities") or {}).get("add") or ()
        if context.get("privileged"):
            yield rules.invalid_struct(path, struct,
                                       "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        if "SYS_ADMIN" in added or "CAP_SYS_ADMIN" in added:
            yield rules.invalid_struct(path, struct, "cannot set `allowPrivilegeEscalation` to false and "
                                                     "`capabilities.Add` CAP_SYS_ADMIN")


def seccomp_errors(profile: Mapping[str, Any] | None, path: str) -> rules.Errors:
    if profile is None:
        return
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    yield from rules.one_of(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))
    if kind == "Localhost" and local is None:
        yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    elif kind != "Localhost" and local is not None:
        yield invalid_value(f"{path}.localhostProfile", local, "can only be set when seccomp type is Localhost")


def app_armor_errors(profile: Mapping[str, Any] | None, path: str) -> rules.Errors:
    if profile is None:
        return
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")
    else:
        yield from rules.one_of(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))
    if kind == "Localhost" and local is None:
        yield required(f"{path}.localhostProfile", "must be set when AppArmor type is Localhost")
    elif kind != "Localhost" and local is not None:
        yield invalid_value(f"{path}.localhostProfile", local, "can only be set when AppArmor type is Localhost")


def _hooks_and_probes(one: Obj, grace_s: int, path: str) -> rules.Errors:
    for key in ("postStart", "preStop"):
        hook = (one.get("lifecycle") or {}).get(key)
        if hook is not None:
            yield from handler_errors(hook, HOOKS, f"{path}.lifecycle.{key}")
            seconds = (hook.get("sleep") or {}).get("seconds")
            if seconds is not None and not 0 <= seconds <= grace_s:
                yield invalid_value(f"{path}.lifecycle.{key}", seconds, "must be non-negative and less than "
                                    f"terminationGracePeriodSeconds ({grace_s})")
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = one.get(key)
        if probe is not None:
            yield from _probe_errors(probe, key, f"{path}.{key}")


def _probe_errors(probe: Obj, key: str, path: str) -> rules.Errors:
    yield from handler_errors(probe, HANDLERS, path)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        yield from rules.not_negative(f"{path}.{field}", probe.get(field))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None:
        if key == "readinessProbe":
            yield invalid_value(f"{path}.terminationGracePeriodSeconds", grace, "must not be set for readinessProbes")
        elif grace <= 0:
            yield invalid_value(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")
    if key != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def handler_errors(handler: Obj, kinds: Sequence[str], path: str) -> rules.Errors:
    """Exactly one of the ways to act: exec, HTTP, TCP, gRPC or sleep."""
    found = [kind for kind in kinds if handler.get(kind) is not None]
    for kind in found[1:]:
        yield rules.forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
    if not found:
        yield required(path, "must specify a handler type")
        return
    yield from _one_handler(found[0], handler[found[0]], f"{path}.{found[0]}")


def _one_handler(kind: str, action: Any, path: str) -> rules.Errors:
    if kind == "exec":
        if not action.get("command"):
            yield required(f"{path}.command")
    elif kind == "httpGet":
        if not action.get("path"):
            yield required(f"{path}.path")
        yield from rules.port_or_name(f"{path}.port", action.get("port", 0))
        if action.get("scheme") not in ("HTTP", "HTTPS"):
            yield rules.unsupported(f"{path}.scheme", action.get("scheme", ""), ("HTTP", "HTTPS"))
        for i, header in enumerate(action.get("httpHeaders") or ()):
            yield from _header(header.get("name", ""), f"{path}.httpHeaders[{i}]")
    elif kind == "tcpSocket":
        yield from rules.port_or_name(f"{path}.port", action.get("port", 0))
    elif kind == "grpc":
        yield from rules.port_number(f"{path}.port", action.get("port", 0))


def _header(name: str, path: str) -> rules.Errors:
    if not name or not name.replace("-", "").isalnum() or not name.isascii():
        yield FieldError(path, "FieldValueInvalid", f'Invalid value: "{name}": a valid HTTP header must consist of '
                         "alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is "
                         "'[-A-Za-z0-9]+')")
