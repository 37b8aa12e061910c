"""The Pod Security Standards: each check says what it finds and where, in the words people search for.

    pod ─► (what, details) per check, as `privileged (container "c" must not set securityContext.privileged=true)`

Models:    k8s.io/pod-security-admission/policy (https://kubernetes.io/docs/concepts/security/pod-security-standards/)
Left out:  older versions of the standards; annotations from before there were fields
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from kubelab.machinery.request import Obj

Check = Callable[[Obj, list[Obj]], str]
"""(spec, every container) -> what is forbidden about it, or ""."""

NO: Obj = {}
CAPABILITIES = frozenset({"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
                          "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"})
SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem"})
VOLUMES = frozenset({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
                     "secret"})
SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def _context(of: Obj) -> Obj:
    return of.get("securityContext") or NO


def _setting(of: Obj, path: str) -> Any:
    found: Any = _context(of)
    for step in path.split("."):
        found = (found or NO).get(step)
    return found


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _several(word: str, of: Sequence[object]) -> str:
    return f"{word}s" if len(of) > 1 else word


def _named(names: Sequence[str], what: str = "container") -> str:
    return f"{_several(what, names)} {_quoted(names)}"


def _uses(names: Sequence[str], what: str = "container") -> str:
    return f"{_named(names, what)} {'use' if len(names) > 1 else 'uses'}"


def _where(containers: list[Obj], wrong: Callable[[Obj], object]) -> list[str]:
    return [c["name"] for c in containers if wrong(c)]


def _offending(items: Iterable[Obj], found: Callable[[Obj], Collection[Any]]) -> tuple[list[str], list[Any]]:
    """Return the names of the items in which something is found, and all that is."""
    of = {item["name"]: found(item) for item in items}
    whole = {value for values in of.values() for value in values}
    return [name for name in of if of[name]], sorted(whole, key=str)


def _setting_check(what: str, path: str, wrong: Callable[[Any], object], words: str, *, of_pod: bool = True) -> Check:
    """Return the check of one setting of a securityContext, that of containers and, with `of_pod`, the pod's own."""
    def check(spec: Obj, containers: list[Obj]) -> str:
        places = ["pod"] if of_pod and wrong(_setting(spec, path)) else []
        names = _where(containers, lambda c: wrong(_setting(c, path)))
        places += [_named(names)] if names else []
        return f"{what} ({' and '.join(places)} {words})" if places else ""

    return check


def _is_unconfined(profile: Any) -> bool:
    return bool(profile == "Unconfined")


# ── baseline ─────────────────────────────────────────────────────────────────────────────────────────────────

app_armor = _setting_check("forbidden AppArmor profile", "appArmorProfile.type", _is_unconfined,
                           'must not set AppArmor profile type to "Unconfined"')
privileged = _setting_check("privileged", "privileged", bool, "must not set securityContext.privileged=true",
                            of_pod=False)
seccomp_baseline = _setting_check("seccompProfile", "seccompProfile.type", _is_unconfined,
                                  'must not set securityContext.seccompProfile.type to "Unconfined"')
host_process = _setting_check("hostProcess", "windowsOptions.hostProcess", bool,
                              "must not set securityContext.windowsOptions.hostProcess=true")


def capabilities(spec: Obj, containers: list[Obj]) -> str:
    names, added = _offending(containers, lambda c: set(_setting(c, "capabilities.add") or ()) - CAPABILITIES)
    return f"non-default capabilities ({_named(names)} must not include {_quoted(added)} in " \
           "securityContext.capabilities.add)" if names else ""


def host_namespaces(spec: Obj, containers: list[Obj]) -> str:
    used = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return f"host namespaces ({', '.join(used)})" if used else ""


def host_path(spec: Obj, containers: list[Obj]) -> str:
    names = [v["name"] for v in spec.get("volumes") or () if v.get("hostPath") is not None]
    return f"hostPath volumes ({_named(names, 'volume')})" if names else ""


def host_ports(spec: Obj, containers: list[Obj]) -> str:
    names, ports = _offending(containers, lambda c: [p["hostPort"] for p in c.get("ports") or () if p.get("hostPort")])
    return f"hostPort ({_uses(names)} {_several('hostPort', ports)} {', '.join(map(str, ports))})" if names else ""


def probe_hosts(spec: Obj, containers: list[Obj]) -> str:
    names, hosts = _offending(containers, lambda c: {*_hosts(c)})
    return f"probe or lifecycle host ({_uses(sorted(names))} {_several('probe or lifecycle host', hosts)} " \
           f"{_quoted(hosts)})" if names else ""


def _hosts(container: Obj) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or NO
    for handler in (*(container.get(probe) or NO for probe in PROBES),
                    *(lifecycle.get(hook) or NO for hook in ("postStart", "preStop"))):
        for action in ("httpGet", "tcpSocket"):
            host = (handler.get(action) or NO).get("host")
            if host:
                yield host


def proc_mount(spec: Obj, containers: list[Obj]) -> str:
    names, mounts = _offending(containers, lambda c: {str(_context(c).get("procMount") or "Default")} - {"Default"})
    return f"procMount ({_named(names)} must not set securityContext.procMount to {_quoted(mounts)})" if names else ""


def selinux(spec: Obj, containers: list[Obj]) -> str:
    own = {c["name"]: _context(c).get("seLinuxOptions") or NO for c in containers}
    whole = _context(spec).get("seLinuxOptions") or NO
    names = [name for name, options in own.items() if _odd_labels(options)]
    places = ["pod"] * _odd_labels(whole) + ([_named(names)] if names else [])
    types = sorted({options.get("type", "") for options in (whole, *own.values())} - SELINUX_TYPES)
    details = [_named(types, "type")] if types else []
    details += [f"{field} may not be set" for field in ("user", "role")
                if any(options.get(field) for options in (whole, *own.values()))]
    return f"seLinuxOptions ({' and '.join(places)} set forbidden securityContext.seLinuxOptions: " \
           f"{'; '.join(details)})" if places else ""


def _odd_labels(options: Obj) -> bool:
    return bool(options.get("type", "") not in SELINUX_TYPES or options.get("user") or options.get("role"))


def sysctls(spec: Obj, containers: list[Obj]) -> str:
    names = [s["name"] for s in _context(spec).get("sysctls") or () if s["name"] not in SYSCTLS]
    return f"forbidden sysctls ({', '.join(names)})" if names else ""


# ── restricted ───────────────────────────────────────────────────────────────────────────────────────────────

escalation = _setting_check("allowPrivilegeEscalation != false", "allowPrivilegeEscalation",
                            lambda given: given is not False,
                            "must set securityContext.allowPrivilegeEscalation=false", of_pod=False)
run_as_user = _setting_check("runAsUser=0", "runAsUser", lambda given: given == 0, "must not set runAsUser=0")


def all_capabilities(spec: Obj, containers: list[Obj]) -> str:
    keep = _where(containers, lambda c: "ALL" not in (_setting(c, "capabilities.drop") or ()))
    more, added = _offending(containers, lambda c: {*(_setting(c, "capabilities.add") or ())} - {"NET_BIND_SERVICE"})
    details = [f'{_named(keep)} must set securityContext.capabilities.drop=["ALL"]'] if keep else []
    details += [f"{_named(more)} must not include {_quoted(added)} in securityContext.capabilities.add"] if more else []
    return f"unrestricted capabilities ({'; '.join(details)})" if details else ""


def volume_types(spec: Obj, containers: list[Obj]) -> str:
    names, types = _offending(spec.get("volumes") or (), lambda v: list(v.keys() - VOLUMES - {"name"})[:1])
    return f"restricted volume types ({_uses(names, 'volume')} {_several('restricted volume type', types)} " \
           f"{_quoted(types)})" if names else ""


def _must_be(what: str, path: str, good: Callable[[Any], bool], bad: Callable[[list[Any]], str], must: str) -> Check:
    """Return the check of a setting that the pod or each of its containers must make, and none may make otherwise."""
    def check(spec: Obj, containers: list[Obj]) -> str:
        whole, own = _setting(spec, path), {c["name"]: _setting(c, path) for c in containers}
        names = [name for name, given in own.items() if given is not None and not good(given)]
        places = ["pod"] if whole is not None and not good(whole) else []
        places += [_named(names)] if names else []
        if places:
            values = sorted({given for given in (whole, *own.values()) if given is not None and not good(given)})
            return f"{what} ({' and '.join(places)} must not set {bad(values)})"
        silent = [] if whole is not None else [name for name, given in own.items() if given is None]
        return f"{what} (pod or {_named(silent)} must set {must})" if silent else ""

    return check


non_root = _must_be("runAsNonRoot != true", "runAsNonRoot", bool, lambda values: "securityContext.runAsNonRoot=false",
                    "securityContext.runAsNonRoot=true")
seccomp_restricted = _must_be(
    "seccompProfile", "seccompProfile.type", lambda given: given in ("RuntimeDefault", "Localhost"),
    lambda values: f"securityContext.seccompProfile.type to {_quoted(values)}",
    'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"')


BASELINE: tuple[Check, ...] = (app_armor, capabilities, host_namespaces, host_path, host_ports, probe_hosts, privileged,
                               proc_mount, selinux, seccomp_baseline, sysctls, host_process)
OVERRIDDEN = frozenset({capabilities, host_path, seccomp_baseline})  # by stricter ones of the restricted level
RESTRICTED: tuple[Check, ...] = (*(check for check in BASELINE if check not in OVERRIDDEN), escalation,
                                 all_capabilities, volume_types, non_root, run_as_user, seccomp_restricted)
LEVELS: dict[str, tuple[Check, ...]] = {"privileged": (), "baseline": BASELINE, "restricted": RESTRICTED}


NOT_ON_WINDOWS = frozenset({escalation, all_capabilities, seccomp_restricted})


def violations(level: str, spec: Obj) -> list[str]:
    """Return what a pod of this spec does that the level forbids."""
    windows = (spec.get("os") or NO).get("name") == "windows"
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ()),
                  *(spec.get("ephemeralContainers") or ())]
    return [found for check in LEVELS[level] if not (windows and check in NOT_ON_WINDOWS)
            if (found := check(spec, containers))]
