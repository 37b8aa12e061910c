"""Connect: the subresources that are not answered here but where a pod runs.

    pods/log ─────────────────────► kubelet  /containerLogs/{ns}/{pod}/{container}
    pods/exec, attach, portforward ► kubelet  /exec/... /attach/... /portForward/...     (the connection becomes a pipe)
    pods/proxy, services/proxy ────► the pod's own port
    nodes/proxy ───────────────────► kubelet

Invariant: which node and address is looked up here and now; the caller names objects, never addresses.
Models:    the REST connecters of kube-apiserver's pod, service and node registries
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import parse_qsl, quote, urlencode

from kubelab.client.tunnel import Target, Tunnel, is_upgrade
from kubelab.machinery.errors import ApiError, bad_request, not_found
from kubelab.machinery.ports import mapped
from kubelab.machinery.request import Obj, Request, Response
from kubelab.machinery.routes import RequestInfo
from kubelab.units.pods.connections import LOG_OPTIONS, check_log_options, container_of, split_name

Get = Callable[[str, str, str], Obj | None]
"""(plural, namespace, name) -> stored object."""

STREAM_OPTIONS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
KUBELET_PORT = 10250


class Connect:
    """Answers the connecting subresources."""

    def __init__(self, tunnel: Tunnel, get: Get, *, lowest_port: int = 0) -> None:
        self._tunnel, self._get, self._lowest_port = tunnel, get, lowest_port

    async def serve(self, request: Request, info: RequestInfo) -> Response:
        """Answer pods/log, exec, attach, portforward and the proxy subresource of pods, services and nodes."""
        if info.subresource == "log":
            return await self._log(request, info)
        if info.subresource == "proxy":
            return await self._proxy(request, info)
        return await self._stream(request, info)

    async def _log(self, request: Request, info: RequestInfo) -> Response:
        pod = self._found("pods", info.namespace, info.name)
        options = {name: request.query[name] for name in LOG_OPTIONS if request.query.get(name)}
        check_log_options(info.name, options)
        container = container_of(pod, request.query.get("container", ""))
        if not pod["spec"].get("nodeName"):
            return Response(200, b"", {"content-type": "text/plain"})  # nothing was ever written
        path = _path("containerLogs", info.namespace, info.name, container)
        return await self._tunnel.get(self._kubelet_of(pod), f"{path}?{urlencode(options)}" if options else path)

    async def _stream(self, request: Request, info: RequestInfo) -> Response:
        pod = self._found("pods", info.namespace, info.name)
        if not pod["spec"].get("nodeName"):
            raise bad_request(f"pod {info.name} does not have a host assigned")
        asked = parse_qsl(_raw_query(request), keep_blank_values=True)
        if info.subresource == "portforward":
            path, query = _path("portForward", info.namespace, info.name), [p for p in asked if p[0] == "ports"]
        else:
            container = container_of(pod, dict(asked).get("container", ""))
            path = _path(info.subresource, info.namespace, info.name, container)
            query = [(STREAM_OPTIONS[name], "1") for name, value in asked
                     if name in STREAM_OPTIONS and value.lower() not in ("0", "false", "")]
            query += [("command", value) for name, value in asked if name == "command"]
        if request.wire is None or not is_upgrade(request.headers):
            raise bad_request("Upgrade request required")
        return await self._tunnel.upgrade(request.wire, self._kubelet_of(pod), f"{path}?{urlencode(query)}")

    async def _proxy(self, request: Request, info: RequestInfo) -> Response:
        """Lead `[scheme:]name[:port]` and what follows `/proxy` to where it is served."""
        target = {"pods": self._pod_port, "services": self._service_port, "nodes": self._node_port}[info.resource](info)
        prefix = request.path[:len(request.path) - len(info.rest)] if info.rest else request.path
        query = _raw_query(request)
        path_qs = f"{info.rest}?{query}" if query else info.rest
        if is_upgrade(request.headers) and request.wire is not None:
            return await self._tunnel.upgrade(request.wire, target, path_qs or "/")
        return await self._tunnel.proxy(request, target, path_qs, prefix)

    # ── where things are ─────────────────────────────────────────────────────────────────────────────────────

    def _found(self, plural: str, namespace: str, name: str, shown: str = "") -> Obj:
        found = self._get(plural, namespace, name)
        if found is None:
            raise not_found("", shown or plural, name)
        return found

    def _kubelet_of(self, pod: Obj) -> Target:
        # upstream, too, speaks of the node as if it were a pod
        return kubelet_of(self._found("nodes", "", pod["spec"]["nodeName"], shown="pods"))

    def _node_port(self, info: RequestInfo) -> Target:
        scheme, name, port = split_name(info.name, "node")
        kubelet = kubelet_of(self._found("nodes", "", name))
        if not port or port == str(kubelet.port):
            return kubelet
        return Target(kubelet.host, _number(port, info.name), scheme == "https")

    def _pod_port(self, info: RequestInfo) -> Target:
        scheme, name, port = split_name(info.name, "pod")
        pod = self._found("pods", info.namespace, name)
        ip = (pod.get("status") or {}).get("podIP")
        if not ip or not _may_be_asked(ip):
            raise bad_request("address not allowed")
        if not port:
            ports = [p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports") or ()]
            port = str(ports[0]) if ports else "80"
        return self._at(ip, _number(port, info.name), scheme)

    def _service_port(self, info: RequestInfo) -> Target:
        """Choose one of the ready endpoints, any of them."""
        scheme, name, port = split_name(info.name, "service")
        service = self._found("services", info.namespace, name)
        ports: list[Obj] = service["spec"].get("ports") or []
        if not port and len(ports) == 1:
            port = ports[0].get("name", "")
        elif port.isdigit():
            named = [p.get("name", "") for p in ports if p["port"] == int(port)]
            if not named:
                raise _unavailable(f'no service port {port} found for service "{name}"')
            port = named[0]
        endpoints = self._get("endpoints", info.namespace, name) or {}
        places = [(address["ip"], p["port"]) for subset in endpoints.get("subsets") or ()
                  for p in subset.get("ports") or () if p.get("name", "") == port
                  for address in subset.get("addresses") or ()]
        if not places:
            raise _unavailable(f'no endpoints available for service "{name}"')
        ip, number = random.choice(places)
        return self._at(ip, number, scheme)

    def _at(self, ip: str, port: int, scheme: str) -> Target:
        return Target(ip, mapped(port, self._lowest_port), scheme == "https")


def kubelet_of(node: Obj) -> Target:
    """Return where a node's kubelet listens, as its status says."""
    status = node.get("status") or {}
    addresses: Mapping[str, str] = {a["type"]: a["address"] for a in reversed(status.get("addresses") or ())}
    for type_ in ("InternalIP", "ExternalIP", "Hostname"):
        if type_ in addresses:
            port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT
            return Target(addresses[type_], port, tls=True, trusted=True)
    known = " ".join(f"{{{type_} {address}}}" for type_, address in addresses.items())
    raise _unavailable(f"no preferred addresses found; known addresses: [{known}]")


def _may_be_asked(ip: str) -> bool:
    """Tell whether an address in a pod's status is one of a pod: not a name, not the machine's metadata service."""
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return not (address.is_link_local or address.is_multicast or address.is_unspecified)


def _number(port: str, name: str) -> int:
    if port.isdigit() and 0 < int(port) < 65536:
        return int(port)
    raise bad_request(f'invalid port "{port}" in "{name}"')


def _unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _raw_query(request: Request) -> str:
    """Return the query as the client wrote it: `command` comes more than once, which a mapping cannot hold."""
    if request.wire is not None:
        return str(request.wire.raw_path.partition("?")[2])
    return urlencode(dict(request.query))
