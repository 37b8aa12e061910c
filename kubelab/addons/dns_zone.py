"""What the cluster's DNS knows: records of Services, of their endpoints and of pods, straight from the informers.

    web.default.svc.cluster.local                 A     the ClusterIP; headless: every ready endpoint
    <hostname or 127-64-16-2>.web.default.svc…    A     one endpoint
    _http._tcp.web.default.svc…                   SRV   port and target
    web.default.svc…  of type ExternalName        CNAME
    127-64-16-2.default.pod.cluster.local         A     the address in the name
    7.128.64.127.in-addr.arpa                     PTR

Invariant: a name that exists without records of the asked type is an empty answer, one that does not exist NXDOMAIN.
Models:    CoreDNS, plugin kubernetes with `pods insecure`; Kubernetes DNS-Based Service Discovery 1.1.0
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubelab.client.informer import Informer
from kubelab.machinery.request import Obj

SERVICE_NAME = "kubernetes.io/service-name"
VERSION = "1.1.0"


@dataclass(frozen=True, slots=True)
class Record:
    """`data` is an address, a name, a text, or for SRV "priority weight port target"."""

    name: str
    type: str
    data: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question came to. `exists` False is NXDOMAIN."""

    exists: bool
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


EMPTY, NXDOMAIN = Answer(True), Answer(False)


@dataclass(frozen=True, slots=True)
class _Target:
    """One address behind a headless Service, with the ports it has."""

    ip: str
    host: str
    ports: tuple[tuple[str, str, int], ...]  # name, protocol, number


class Zone:
    """Answers questions below `domain`, and for addresses of the cluster."""

    def __init__(self, domain: str, address: str, services: Informer, slices: Informer, namespaces: Informer) -> None:
        self.domain, self.address = domain.lower().strip("."), address
        self._services, self._slices, self._namespaces = services, slices, namespaces
        services.add_index("ip", _cluster_ips)
        slices.add_index("service", _owner)
        slices.add_index("ip", _addresses)

    @property
    def synced(self) -> bool:
        return self._services.synced and self._slices.synced and self._namespaces.synced

    def covers(self, name: str) -> bool:
        return name == self.domain or name.endswith("." + self.domain)

    def answer(self, name: str, type_: str) -> Answer:
        """Answer a question about a name (lower case, no dot at its end) below the domain."""
        labels = name[:-len(self.domain)].rstrip(".").split(".") if name != self.domain else []
        match labels:
            case []:
                return self._apex(name, type_)
            case ["dns-version"]:
                return Answer(True, (Record(name, "TXT", VERSION),) if type_ == "TXT" else ())
            case ["ns", "dns"]:
                return Answer(True, _of_type(type_, [Record(name, "A", self.address)]))
            case ["svc"] | ["pod"]:
                return EMPTY
            case [namespace, "svc" | "pod"]:
                return EMPTY if self._namespaces.get(namespace) else NXDOMAIN
            case [*rest, namespace, "svc"]:
                return self._service(name, type_, rest, namespace)
            case [dashed, namespace, "pod"]:
                return self._pod(name, type_, dashed, namespace)
        return NXDOMAIN

    def _apex(self, name: str, type_: str) -> Answer:
        host = f"ns.dns.{self.domain}"
        if type_ == "NS":
            return Answer(True, (Record(name, "NS", host),), (Record(host, "A", self.address),))
        return EMPTY

    def _pod(self, name: str, type_: str, dashed: str, namespace: str) -> Answer:
        try:
            ip = str(ipaddress.IPv4Address(dashed.replace("-", ".")))
        except ValueError:
            return NXDOMAIN
        if self._namespaces.get(namespace) is None:
            return NXDOMAIN
        return Answer(True, _of_type(type_, [Record(name, "A", ip)]))

    def _service(self, name: str, type_: str, rest: Sequence[str], namespace: str) -> Answer:
        service = self._services.get(f"{namespace}/{rest[-1]}")
        if service is None or len(rest) > 3:
            return NXDOMAIN
        spec = service["spec"]
        base = f"{rest[-1]}.{namespace}.svc.{self.domain}"
        if spec.get("type") == "ExternalName":
            return Answer(True, (Record(name, "CNAME", spec["externalName"].lower().rstrip(".")),)) \
                if len(rest) == 1 else NXDOMAIN
        headless = spec.get("clusterIP") in ("None", "", None)
        targets = self._targets(service) if headless or len(rest) == 2 else []
        if len(rest) == 2:  # one endpoint by its name
            return _found(name, type_, [Record(name, "A", t.ip) for t in targets if t.host == rest[0]])
        port = (rest[0], rest[1]) if len(rest) == 3 else None
        if headless:
            return self._headless(name, type_, base, targets, port)
        ports = [(p.get("name") or "", p.get("protocol", "TCP"), p["port"]) for p in spec.get("ports") or ()]
        if port is not None:
            ports = [p for p in ports if _is_port(port, p)]
            if not ports:
                return NXDOMAIN
        where = Record(base, "A", spec["clusterIP"])
        if type_ == "SRV":
            return Answer(True, tuple(_srv(name, base, p[2], len(ports)) for p in ports), (where,))
        return Answer(True, _of_type(type_, [Record(name, "A", where.data)]))

    def _headless(self, name: str, type_: str, base: str, targets: Sequence[_Target],
                  port: tuple[str, str] | None) -> Answer:
        matching = [(t, p) for t in targets for p in t.ports or (("", "TCP", 0),) if port is None or _is_port(port, p)]
        hosts = {t.host: Record(f"{t.host}.{base}", "A", t.ip) for t, _ in matching}
        if type_ == "SRV":
            records = [_srv(name, f"{t.host}.{base}", p[2], len(matching)) for t, p in matching]
            return Answer(bool(records), tuple(records), tuple(hosts.values()))
        return _found(name, type_, [Record(name, "A", record.data) for record in hosts.values()])

    def _targets(self, service: Obj) -> list[_Target]:
        meta = service["metadata"]
        found: dict[str, _Target] = {}
        for piece in self._slices.by_index("service", f"{meta['namespace']}/{meta['name']}"):
            ports = tuple((p.get("name") or "", p.get("protocol", "TCP"), p.get("port") or 0)
                          for p in piece.get("ports") or ())
            for endpoint in piece.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    for ip in endpoint.get("addresses") or ():
                        found[ip] = _Target(ip, _host(endpoint, ip), ports)
        return list(found.values())

    def pointer(self, name: str) -> Answer:
        """Answer who has an address: `name` ends in in-addr.arpa. An address of nobody here does not exist."""
        ip = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
        for service in self._services.by_index("ip", ip):
            meta = service["metadata"]
            return Answer(True, (Record(name, "PTR", f"{meta['name']}.{meta['namespace']}.svc.{self.domain}"),))
        records = []
        for piece in self._slices.by_index("ip", ip):
            for owner in _owner(piece):
                namespace, _, service_name = owner.partition("/")
                host = next(_host(e, ip) for e in piece["endpoints"] if ip in e.get("addresses", ()))
                records.append(Record(name, "PTR", f"{host}.{service_name}.{namespace}.svc.{self.domain}"))
        return Answer(bool(records), tuple(records))


def _host(endpoint: Obj, ip: str) -> str:
    return endpoint.get("hostname") or ip.replace(".", "-").replace(":", "-")


def _is_port(asked: tuple[str, str], port: tuple[str, str, int]) -> bool:
    return asked == (f"_{port[0].lower()}", f"_{port[1].lower()}")


def _srv(name: str, target: str, port: int, count: int) -> Record:
    return Record(name, "SRV", f"0 {max(1, 100 // max(count, 1))} {port} {target}")


def _of_type(type_: str, records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(record for record in records if type_ in (record.type, "ANY"))


def _found(name: str, type_: str, records: Sequence[Record]) -> Answer:
    return Answer(True, _of_type(type_, records)) if records else NXDOMAIN


def _cluster_ips(service: Obj) -> list[str]:
    ip = service["spec"].get("clusterIP")
    return [ip] if ip and ip != "None" else []


def _owner(piece: Obj) -> list[str]:
    meta = piece["metadata"]
    name = (meta.get("labels") or {}).get(SERVICE_NAME)
    return [f"{meta['namespace']}/{name}"] if name else []


def _addresses(piece: Obj) -> list[str]:
    return [ip for endpoint in piece.get("endpoints") or () for ip in endpoint.get("addresses") or ()]
