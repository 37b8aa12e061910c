"""The environment of a container: services, envFrom, env, in Kubernetes' order of precedence.

    service variables  <  envFrom (in order)  <  env (in order, each may use those before it)

Invariant: a missing ConfigMap, Secret or key that is not optional raises Waiting(CreateContainerConfigError).
Models:    kubelet makeEnvironmentVariables, pkg/kubelet/envvars
Left out:  fileKeyRef
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.context import Context, Waiting
from kubelab.node.kubelet.expansion import expand
from kubelab.node.kubelet.fields import Downward, FieldError


class Sources(Protocol):
    """Where ConfigMaps and Secrets come from."""

    async def get(self, kind: str, namespace: str, name: str) -> Obj | None: ...


class Environment:
    """Builds environments on one node."""

    def __init__(self, context: Context, sources: Sources, services: Callable[[str], Sequence[Obj]],
                 allocatable: Callable[[], Mapping[str, str]]) -> None:
        self.context, self.sources, self.services, self.allocatable = context, sources, services, allocatable

    async def of(self, pod: Obj, container: Obj, pod_ip: str) -> dict[str, str]:
        """Return the whole environment of `container`. Raises Waiting."""
        namespace = pod["metadata"]["namespace"]
        env = service_variables(self.services(namespace), namespace,
                                links=pod["spec"].get("enableServiceLinks", True)) if self.context.needs_files else {}
        for source in container.get("envFrom") or ():
            env.update(await self._from(namespace, source))
        downward: Downward | None = None
        for variable in container.get("env") or ():
            origin = variable.get("valueFrom")
            if not origin:
                env[variable["name"]] = expand(variable.get("value") or "", env)
                continue
            downward = downward or self.downward(pod, pod_ip)
            value = await self._value(namespace, container, downward, origin)
            if value is not None:
                env[variable["name"]] = value
        return env

    def downward(self, pod: Obj, pod_ip: str) -> Downward:
        return Downward(pod, pod_ip, self.context.node_ip, self.context.node_name, self.allocatable())

    async def _from(self, namespace: str, source: Obj) -> dict[str, str]:
        prefix = source.get("prefix") or ""
        kind = "configMap" if "configMapRef" in source else "secret"
        ref = source[f"{kind}Ref"]
        found = await self.sources.get(f"{kind.lower()}s", namespace, ref["name"])
        if found is None:
            if ref.get("optional"):
                return {}
            raise config_error(f'{kind.lower()} "{ref["name"]}" not found')
        return {prefix + k: v for k, v in data_of(found).items()}

    async def _value(self, namespace: str, container: Obj, downward: Downward, origin: Obj) -> str | None:
        try:
            if "fieldRef" in origin:
                return downward.field(origin["fieldRef"]["fieldPath"])
            if "resourceFieldRef" in origin:
                return downward.resource(origin["resourceFieldRef"], container)
        except FieldError as error:
            raise config_error(str(error)) from error
        for kind, title in (("configMap", "ConfigMap"), ("secret", "Secret")):
            ref = origin.get(f"{kind}KeyRef")
            if ref:
                return await self._key(namespace, title, ref)
        return None

    async def _key(self, namespace: str, title: str, ref: Obj) -> str | None:
        found = await self.sources.get(f"{title.lower()}s", namespace, ref["name"])
        value = data_of(found).get(ref["key"]) if found is not None else None
        if value is not None or ref.get("optional"):
            return value
        if found is None:
            raise config_error(f'{title.lower()} "{ref["name"]}" not found')
        raise config_error(f"couldn't find key {ref['key']} in {title} {namespace}/{ref['name']}")


def config_error(message: str) -> Waiting:
    return Waiting("CreateContainerConfigError", message)


def data_of(found: Obj) -> dict[str, str]:
    """Return the text entries of a ConfigMap or Secret."""
    if found.get("kind") == "Secret" or "type" in found:
        return {k: base64.b64decode(v).decode(errors="replace") for k, v in (found.get("data") or {}).items()}
    return dict(found.get("data") or {})


def service_variables(services: Iterable[Obj], namespace: str, *, links: bool = True) -> dict[str, str]:
    """Return the variables that tell of each Service: WEB_SERVICE_HOST, WEB_PORT_80_TCP_ADDR, ...

    Always of default/kubernetes; of the pod's own namespace with `links` (enableServiceLinks).
    """
    env: dict[str, str] = {}
    for service in services:
        meta, spec = service["metadata"], service["spec"]
        master = meta["namespace"] == "default" and meta["name"] == "kubernetes"
        ip = spec.get("clusterIP")
        if not ip or ip == "None" or not (master or (links and meta["namespace"] == namespace)):
            continue
        name = meta["name"].upper().replace("-", "_")
        ports = spec.get("ports") or []
        if ports:
            env |= _port_variables(name, ip, ports)
    return env


def _port_variables(name: str, ip: str, ports: Sequence[Obj]) -> dict[str, str]:
    first = ports[0]
    env = {f"{name}_SERVICE_HOST": ip, f"{name}_SERVICE_PORT": str(first["port"])}
    for port in ports:
        if port.get("name"):
            env[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    env[f"{name}_PORT"] = f"{first.get('protocol', 'TCP').lower()}://{ip}:{first['port']}"
    for port in ports:
        protocol, number = port.get("protocol", "TCP"), str(port["port"])
        stem = f"{name}_PORT_{number}_{protocol}"
        env |= {stem: f"{protocol.lower()}://{ip}:{number}", f"{stem}_PROTO": protocol.lower(),
                f"{stem}_PORT": number, f"{stem}_ADDR": ip}
    return env
