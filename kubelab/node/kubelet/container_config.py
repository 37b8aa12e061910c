"""From a container of the spec to what the runtime is asked to run. Pure functions.

Models:    kuberuntime generateContainerConfig, generateLinuxContainerConfig
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.expansion import expand
from kubelab.node.kubelet.resources import amount
from kubelab.node.runtime.protocol import ContainerConfig, Mount, PodRef, PortMapping, SandboxConfig

_SIMULATION = "hollow.kubelab.io/"


def pod_ref(pod: Obj, node: str) -> PodRef:
    meta = pod["metadata"]
    return PodRef(meta["namespace"], meta["name"], meta["uid"], node)


def container_config(pod: Obj, container: Obj, attempt: int, env: Mapping[str, str],
                     mounts: Sequence[Mount]) -> ContainerConfig:
    """Build the runtime's order for one attempt; $(VAR) in command and args is expanded from `env`."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    security = security_context(pod, container)
    annotations = pod["metadata"].get("annotations") or {}
    return ContainerConfig(
        name=container["name"],
        image=container["image"],
        attempt=attempt,
        command=tuple(expand(word, env) for word in container.get("command") or ()),
        args=tuple(expand(word, env) for word in container.get("args") or ()),
        env=env,
        working_dir=container.get("workingDir", ""),
        mounts=tuple(mounts),
        ports=tuple(p["containerPort"] for p in container.get("ports") or ()),
        tty=bool(container.get("tty")),
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        cpu_limit_millicpu=amount("cpu", limits["cpu"]) if "cpu" in limits else 0,
        cpu_request_millicpu=amount("cpu", requests["cpu"]) if "cpu" in requests else 0,
        memory_limit_bytes=amount("memory", limits["memory"]) if "memory" in limits else 0,
        user=security.get("runAsUser"),
        group=security.get("runAsGroup"),
        groups=_groups(pod["spec"].get("securityContext") or {}),
        read_only_root=bool(security.get("readOnlyRootFilesystem")),
        privileged=bool(security.get("privileged")),
        add_capabilities=tuple((security.get("capabilities") or {}).get("add") or ()),
        drop_capabilities=tuple((security.get("capabilities") or {}).get("drop") or ()),
        no_new_privileges=security.get("allowPrivilegeEscalation") is False,
        pids="node" if pod["spec"].get("hostPID") else "pod" if pod["spec"].get("shareProcessNamespace") else "",
        simulation={k: v for k, v in annotations.items() if k.startswith(_SIMULATION)} if annotations else {},
    )


def security_context(pod: Obj, container: Obj) -> Obj:
    """Return what counts for a container: its own fields, else the pod's."""
    return {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}


def sandbox_config(pod: Obj, node: str, dns_server: str, cluster_domain: str) -> SandboxConfig:
    """Build the order for the pod's sandbox: name, DNS by dnsPolicy, host ports."""
    spec, meta = pod["spec"], pod["metadata"]
    server, searches, options = dns(pod, dns_server, cluster_domain)
    ports = tuple(PortMapping(p["containerPort"], p.get("hostPort", 0), p.get("hostIP", ""), p.get("protocol", "TCP"))
                  for c in [*spec["containers"], *(spec.get("initContainers") or ())] for p in c.get("ports") or ())
    aliases = tuple((a["ip"], tuple(a.get("hostnames") or ())) for a in spec.get("hostAliases") or ())
    domain = f"{spec['subdomain']}.{meta['namespace']}.svc.{cluster_domain}" if spec.get("subdomain") else ""
    name = node if spec.get("hostNetwork") else hostname(pod)
    if domain and spec.get("setHostnameAsFQDN"):
        name = f"{name}.{domain}"
    return SandboxConfig(pod_ref(pod, node), name, server, searches, meta.get("labels") or {}, ports,
                         bool(spec.get("hostNetwork")), options, domain, aliases)


def _groups(security: Obj) -> tuple[int, ...]:
    """Return the groups that every process of the pod is in beside its own."""
    own = [security["fsGroup"]] if "fsGroup" in security else []
    return tuple(dict.fromkeys([*(security.get("supplementalGroups") or ()), *own]))


def refused_user(pod: Obj, container: Obj, image_user: str) -> str:
    """Say why runAsNonRoot forbids this container, "" when it does not; `image_user` is who the image runs as."""
    security, meta = security_context(pod, container), pod["metadata"]
    where = f'(pod: "{meta["name"]}_{meta["namespace"]}({meta["uid"]})", container: {container["name"]})'
    name = image_user.partition(":")[0]
    if security.get("runAsUser") is not None:
        return f"container's runAsUser breaks non-root policy {where}" if security["runAsUser"] == 0 else ""
    if name in ("", "0", "root"):
        return f"container has runAsNonRoot and image will run as root {where}"
    if not name.isdecimal():
        return f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root " \
               + where
    return ""


def hostname(pod: Obj) -> str:
    """Return the name a container of this pod sees as its own, at most 63 characters."""
    name: str = pod["spec"].get("hostname") or pod["metadata"]["name"]
    return name[:63].rstrip("-.")


def dns(pod: Obj, dns_server: str, cluster_domain: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return (name server, search domains, options) by dnsPolicy and dnsConfig."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    if spec.get("hostNetwork") and policy == "ClusterFirst":
        policy = "Default"
    server, searches, options = "", [], {}
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet"):
        namespace = pod["metadata"]["namespace"]
        server = dns_server
        searches = [f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain]
        options = {"ndots": "ndots:5"}
    extra = spec.get("dnsConfig") or {}
    servers = extra.get("nameservers") or []
    for option in extra.get("options") or ():
        options[option["name"]] = ":".join(filter(None, (option["name"], option.get("value"))))
    return (server or (servers[0] if servers else ""), tuple(searches + (extra.get("searches") or [])),
            tuple(options.values()))
