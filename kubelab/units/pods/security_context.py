"""What a pod and its containers may say of their rights: users, groups, profiles, and what an operating system has.

    pod.securityContext ─► pod_security_errors      container.securityContext ─► container_security_errors

Models:   validatePodSpecSecurityContext, ValidateSecurityContext, validateOS and its two systems of core/validation
Left out: the names of users and credentials on Windows
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubelab.machinery.errors import duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import go_shapes, rules
from kubelab.units.pods.mounts import relative_path

PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
MAX_PROFILE_PATH = 4095
SYSTEMS = ("linux", "windows")
NO_USER_NAMESPACE = {"hostNetwork": "hostNetwork", "hostPID": "HostPID", "hostIPC": "HostIPC"}  # as upstream writes it
_SYSCTL = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_OF_IPC = re.compile(r"kernel\.(sem|shm|msg)(\..*)?|kernel\.(shmall|shmmax|shmmni|shm_rmid_forced|msgmax|msgmnb|msgmni)"
                     r"|fs\.mqueue\..*")
# What only Linux has: of a pod, in upstream's order, and of a container.
ONLY_LINUX = ("securityContext.appArmorProfile", "securityContext.seLinuxOptions", "hostUsers", "hostPID", "hostIPC",
              "securityContext.seccompProfile", "securityContext.fsGroup", "securityContext.fsGroupChangePolicy",
              "securityContext.sysctls", "shareProcessNamespace", "securityContext.runAsUser",
              "securityContext.runAsGroup", "securityContext.supplementalGroups",
              "securityContext.supplementalGroupsPolicy", "securityContext.seLinuxChangePolicy")
ONLY_LINUX_CONTAINERS = ("appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities",
                         "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser",
                         "runAsGroup")


def pod_security_errors(spec: Obj, path: str) -> rules.Errors:
    """What is wrong with the pod's own security context, at `path`."""
    context = spec.get("securityContext") or {}
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        yield from rules.in_range(f"{path}.{field}", context.get(field), 0, rules.MAX_INT32)
    for i, group in enumerate(context.get("supplementalGroups") or ()):
        yield from rules.in_range(f"{path}.supplementalGroups[{i}]", group, 0, rules.MAX_INT32)
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        yield invalid_value(f"{path}.shareProcessNamespace", True,
                            "ShareProcessNamespace and HostPID cannot both be enabled")
    yield from _sysctl_errors(spec, f"{path}.sysctls")
    yield from rules.known(f"{path}.fsGroupChangePolicy", context.get("fsGroupChangePolicy"),
                           ("Always", "OnRootMismatch"))
    yield from _seccomp_errors(context.get("seccompProfile"), f"{path}.seccompProfile")
    yield from _app_armor_errors(context.get("appArmorProfile"), f"{path}.appArmorProfile")
    for field, choices in (("supplementalGroupsPolicy", ("Merge", "Strict")),
                           ("seLinuxChangePolicy", ("MountOption", "Recursive"))):
        yield from rules.known(f"{path}.{field}", context.get(field), choices)


def _sysctl_errors(spec: Obj, path: str) -> rules.Errors:
    seen = set()
    for i, sysctl in enumerate((spec.get("securityContext") or {}).get("sysctls") or ()):
        name, field = sysctl.get("name", ""), f"{path}[{i}].name"
        if not name:
            yield required(field)
        elif len(name) > 253 or not re.match(_SYSCTL, name):
            yield invalid_value(field, name, f"must have at most 253 characters and match regex {_SYSCTL}")
        elif name in seen:
            yield duplicate(field, name)
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            yield invalid_value(field, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and _OF_IPC.fullmatch(dotted):
            yield invalid_value(field, name, "may not be specified when 'hostIPC' is true")


def container_security_errors(context: Obj, path: str, host_users: bool) -> rules.Errors:
    """What is wrong with a container's security context; `host_users`: its users are those of the host."""
    for field in ("runAsUser", "runAsGroup"):
        yield from rules.in_range(f"{path}.{field}", context.get(field), 0, rules.MAX_INT32)
    yield from rules.known(f"{path}.procMount", context.get("procMount"), ("Default", "Unmasked"))
    if host_users and context.get("procMount") == "Unmasked":
        yield invalid_value(f"{path}.procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`")
    yield from _seccomp_errors(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        struct = go_shapes.printed(go_shapes.SECURITY, context)
        if context.get("privileged"):
            yield rules.invalid_struct(path, struct,
                                       "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            yield rules.invalid_struct(path, struct, "cannot set `allowPrivilegeEscalation` to false and "
                                                     "`capabilities.Add` CAP_SYS_ADMIN")
    yield from _app_armor_errors(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def _seccomp_errors(profile: Obj | None, path: str) -> rules.Errors:
    if profile is None:
        return
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    else:
        yield from rules.known(f"{path}.type", kind, PROFILES)
    if kind != "Localhost":
        if local is not None:
            struct = {"Type": kind, "LocalhostProfile": local}
            yield rules.invalid_struct(f"{path}.localhostProfile", struct,
                                       "can only be set when seccomp type is Localhost")
    elif local is None:
        yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    else:
        yield from relative_path(f"{path}.localhostProfile", local)


def _app_armor_errors(profile: Obj | None, path: str) -> rules.Errors:
    if profile is None:
        return
    kind, local, field = profile.get("type", ""), profile.get("localhostProfile"), f"{path}.localhostProfile"
    if not kind:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")
    elif kind not in PROFILES:
        yield rules.unsupported(f"{path}.type", kind, PROFILES)
    elif kind != "Localhost":
        if local is not None:
            yield invalid_value(field, local, "can only be set when AppArmor type is Localhost")
    elif not local:
        yield required(field, "must be set when AppArmor type is Localhost")
    else:
        if local != local.strip():
            yield invalid_value(field, local, "must not be padded with whitespace")
        if len(local) > MAX_PROFILE_PATH:
            yield rules.too_long(field, MAX_PROFILE_PATH)


def host_user_errors(spec: Obj, path: str) -> rules.Errors:
    """Users of its own go with none of the host's other namespaces."""
    if spec.get("hostUsers") is False:
        for key, shown in NO_USER_NAMESPACE.items():
            if spec.get(key):
                yield rules.forbidden(f"{path}.{shown}", "when `pod.Spec.HostUsers` is false")


def system_errors(spec: Obj, path: str) -> rules.Errors:
    """What a pod asks for that its operating system does not have."""
    system = (spec.get("os") or {}).get("name", "")
    if spec.get("os") is None:
        return
    if not system:
        yield required(f"{path}.os.name", "cannot be empty")
    elif system not in SYSTEMS:
        yield rules.unsupported(f"{path}.os", system, SYSTEMS)
    elif system == "linux":
        for context, field in (((spec.get("securityContext") or {}), path), *_contexts(spec, path)):
            if context.get("windowsOptions") is not None:
                yield rules.forbidden(f"{field}.securityContext.windowsOptions",
                                      "windows options cannot be set for a linux pod")
    else:
        yield from _windows_errors(spec, path)


def _windows_errors(spec: Obj, path: str) -> rules.Errors:
    for name in ONLY_LINUX:
        of, _, field = name.rpartition(".")
        given = ((spec.get(of) or {}) if of else spec).get(field)
        if given or (given is not None and field not in ("hostPID", "hostIPC", "sysctls")):
            yield rules.forbidden(f"{path}.{name}", "cannot be set for a windows pod")
    for context, field in _contexts(spec, path):
        for name in ONLY_LINUX_CONTAINERS:
            if context.get(name) is not None:
                yield rules.forbidden(f"{field}.securityContext.{name}", "cannot be set for a windows pod")


def _contexts(spec: Obj, path: str) -> Iterator[tuple[Obj, str]]:
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for i, one in enumerate(spec.get(key) or ()):
            yield one.get("securityContext") or {}, f"{path}.{key}[{i}]"
