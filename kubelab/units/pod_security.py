"""The Pod Security Standards: each check says what it finds and where, in the words people search for.

    pod ─► (what, details) per check, as `privileged (container "c" must not set securityContext.privileged=true)`

Models:    k8s.io/pod-security-admission/policy (https://kubernetes.io/docs/concepts/security/pod-security-standards/)
Left out:  older versions of the standards; annotations from before there were fields; pods of Windows, beyond
           hostProcess
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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


def _named(names: Sequence[str], what: str = "container") -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {_quoted(names)}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _where(containers: list[Obj], wrong: Callable[[Obj], object]) -> list[str]:
    return [c["name"] for c in containers if wrong(c)]


# ── baseline ─────────────────────────────────────────────────────────────────────────────────────────────────

def app_armor(spec: Obj, containers: list[Obj]) -> str:
    def loose(of: Obj) -> bool:
        return (_context(of).get("appArmorProfile") or NO).get("type") == "Unconfined"

    places = ["pod"] if loose(spec) else []
    names = _where(containers, loose)
    places += [_named(names)] if names else []
    return f'forbidden AppArmor profile ({" and ".join(places)} must not set AppArmor profile type to "Unconfined")' \
        if places else ""


def capabilities(spec: Obj, containers: list[Obj]) -> str:
    added = {c["name"]: set((_context(c).get("capabilities") or NO).get("add") or ()) - CAPABILITIES
             for c in containers}
    names = [name for name in added if added[name]]
    every = _quoted(sorted(set().union(*added.values())))
    return f"non-default capabilities ({_named(names)} must not include {every} in securityContext.capabilities.add)" \
        if names else ""


def host_namespaces(spec: Obj, containers: list[Obj]) -> str:
    used = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return f"host namespaces ({', '.join(used)})" if used else ""


def host_path(spec: Obj, containers: list[Obj]) -> str:
    names = [v["name"] for v in spec.get("volumes") or () if v.get("hostPath") is not None]
    return f"hostPath volumes ({_named(names, 'volume')})" if names else ""


def host_ports(spec: Obj, containers: list[Obj]) -> str:
    used = {c["name"]: [p["hostPort"] for p in c.get("ports") or () if p.get("hostPort")] for c in containers}
    names = [name for name in used if used[name]]
    ports = sorted({port for found in used.values() for port in found})
    if not names:
        return ""
    verb = "uses" if len(names) == 1 else "use"
    return f"hostPort ({_named(names)} {verb} hostPort{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports))})"


def probe_hosts(spec: Obj, containers: list[Obj]) -> str:
    found = {c["name"]: sorted(set(_hosts(c))) for c in containers}
    names = [name for name in found if found[name]]
    hosts = sorted({host for several in found.values() for host in several})
    verb = "uses" if len(names) == 1 else "use"
    return f"probe or lifecycle host ({_named(names)} {verb} probe or lifecycle host{'s' if len(hosts) > 1 else ''} " \
           f"{_quoted(hosts)})" if names else ""


def _hosts(container: Obj) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or NO
    for handler in (*(container.get(probe) or NO for probe in PROBES),
                    *(lifecycle.get(hook) or NO for hook in ("postStart", "preStop"))):
        for action in ("httpGet", "tcpSocket"):
            host = (handler.get(action) or NO).get("host")
            if host and host not in ("127.0.0.1", "::1"):
                yield host


def privileged(spec: Obj, containers: list[Obj]) -> str:
    names = _where(containers, lambda c: _context(c).get("privileged"))
    return f"privileged ({_named(names)} must not set securityContext.privileged=true)" if names else ""


def proc_mount(spec: Obj, containers: list[Obj]) -> str:
    wrong = {c["name"]: _context(c).get("procMount") for c in containers}
    names = [name for name, given in wrong.items() if given not in (None, "", "Default")]
    return f"procMount ({_named(names)} must not set securityContext.procMount to " \
           f"{_quoted(sorted({str(wrong[name]) for name in names}))})" if names else ""


def selinux(spec: Obj, containers: list[Obj]) -> str:
    places: list[str] = []
    details: list[str] = []
    for place, of in (("pod", spec), *((_named([c["name"]]), c) for c in containers)):
        options = _context(of).get("seLinuxOptions") or NO
        wrong = [f'type "{options["type"]}"'] if options.get("type", "") not in SELINUX_TYPES else []
        wrong += [f"{field} may not be set" for field in ("user", "role") if options.get(field)]
        if wrong:
            places.append(place)
            details += [text for text in wrong if text not in details]
    return f"seLinuxOptions ({' and '.join(places)} set forbidden securityContext.seLinuxOptions: " \
           f"{'; '.join(details)})" if places else ""


def seccomp_baseline(spec: Obj, containers: list[Obj]) -> str:
    def loose(of: Obj) -> bool:
        return (_context(of).get("seccompProfile") or NO).get("type") == "Unconfined"

    places = ["pod"] if loose(spec) else []
    names = _where(containers, loose)
    places += [_named(names)] if names else []
    return f'seccompProfile ({" and ".join(places)} must not set securityContext.seccompProfile.type to "Unconfined")' \
        if places else ""


def sysctls(spec: Obj, containers: list[Obj]) -> str:
    names = [s["name"] for s in _context(spec).get("sysctls") or () if s["name"] not in SYSCTLS]
    return f"forbidden sysctls ({', '.join(names)})" if names else ""


def host_process(spec: Obj, containers: list[Obj]) -> str:
    def hosted(of: Obj) -> bool:
        return bool((_context(of).get("windowsOptions") or NO).get("hostProcess"))

    places = ["pod"] if hosted(spec) else []
    names = _where(containers, hosted)
    places += [_named(names)] if names else []
    return f"hostProcess ({' and '.join(places)} must not set securityContext.windowsOptions.hostProcess=true)" \
        if places else ""


# ── restricted ───────────────────────────────────────────────────────────────────────────────────────────────

def escalation(spec: Obj, containers: list[Obj]) -> str:
    names = _where(containers, lambda c: _context(c).get("allowPrivilegeEscalation") is not False)
    return f"allowPrivilegeEscalation != false ({_named(names)} must set " \
           "securityContext.allowPrivilegeEscalation=false)" if names else ""


def all_capabilities(spec: Obj, containers: list[Obj]) -> str:
    of = {c["name"]: _context(c).get("capabilities") or NO for c in containers}
    keep = [name for name, given in of.items() if "ALL" not in (given.get("drop") or ())]
    more = [name for name, given in of.items() if set(given.get("add") or ()) - {"NET_BIND_SERVICE"}]
    details = [f'{_named(keep)} must set securityContext.capabilities.drop=["ALL"]'] if keep else []
    if more:
        added = sorted({c for name in more for c in of[name]["add"] if c != "NET_BIND_SERVICE"})
        details.append(f"{_named(more)} must not include {_quoted(added)} in securityContext.capabilities.add")
    return f"unrestricted capabilities ({'; '.join(details)})" if details else ""


def volume_types(spec: Obj, containers: list[Obj]) -> str:
    of = {v["name"]: next((key for key in v if key != "name" and key not in VOLUMES), "")
          for v in spec.get("volumes") or ()}
    names, types = [name for name in of if of[name]], sorted({type_ for type_ in of.values() if type_})
    verb = "uses" if len(names) == 1 else "use"
    return f"restricted volume types ({_named(names, 'volume')} {verb} restricted volume type" \
           f"{'s' if len(types) > 1 else ''} {_quoted(types)})" if names else ""


def non_root(spec: Obj, containers: list[Obj]) -> str:
    whole = _context(spec).get("runAsNonRoot")
    wrong = _where(containers, lambda c: _context(c).get("runAsNonRoot") is False)
    details = ["pod must not set securityContext.runAsNonRoot=false"] if whole is False else []
    details += [f"{_named(wrong)} must not set securityContext.runAsNonRoot=false"] if wrong else []
    silent = [] if whole else _where(containers, lambda c: _context(c).get("runAsNonRoot") is None)
    if silent and not details:
        details = [f"pod or {_named(silent)} must set securityContext.runAsNonRoot=true"]
    return f"runAsNonRoot != true ({' and '.join(details)})" if details else ""


def run_as_user(spec: Obj, containers: list[Obj]) -> str:
    places = ["pod"] if _context(spec).get("runAsUser") == 0 else []
    names = _where(containers, lambda c: _context(c).get("runAsUser") == 0)
    places += [_named(names)] if names else []
    return f"runAsUser=0 ({' and '.join(places)} must not set runAsUser=0)" if places else ""


def seccomp_restricted(spec: Obj, containers: list[Obj]) -> str:
    good = ("RuntimeDefault", "Localhost")
    whole = (_context(spec).get("seccompProfile") or NO).get("type")
    of = {c["name"]: (_context(c).get("seccompProfile") or NO).get("type") for c in containers}
    details: list[str] = []
    if whole and whole not in good:
        details.append(f'pod must not set securityContext.seccompProfile.type to "{whole}"')
    wrong = [name for name, given in of.items() if given and given not in good]
    if wrong:
        details.append(f"{_named(wrong)} must not set securityContext.seccompProfile.type to "
                       f"{_quoted(sorted({str(of[name]) for name in wrong}))}")
    silent = [] if whole else [name for name, given in of.items() if not given]
    if silent and not details:
        details = [f'pod or {_named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or '
                   '"Localhost"']
    return f"seccompProfile ({' and '.join(details)})" if details else ""


BASELINE: tuple[Check, ...] = (app_armor, capabilities, host_namespaces, host_path, host_ports, probe_hosts, privileged,
                               proc_mount, selinux, seccomp_baseline, sysctls, host_process)
OVERRIDDEN = frozenset({capabilities, host_path, seccomp_baseline})  # by stricter ones of the restricted level
RESTRICTED: tuple[Check, ...] = (*(check for check in BASELINE if check not in OVERRIDDEN), escalation,
                                 all_capabilities, volume_types, non_root, run_as_user, seccomp_restricted)
LEVELS: dict[str, tuple[Check, ...]] = {"privileged": (), "baseline": BASELINE, "restricted": RESTRICTED}


def violations(level: str, spec: Obj) -> list[str]:
    """Return what a pod of this spec does that the level forbids."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ()),
                  *(spec.get("ephemeralContainers") or ())]
    return [found for check in LEVELS[level] if (found := check(spec, containers))]
