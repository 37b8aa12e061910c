"""The cluster's DNS, asked over the wire as any program asks it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Any

import dnslib
import pytest

from kubelab.addons.dns import Dns
from kubelab.addons.dns_udp import ask


async def asked(dns: Dns, name: str, kind: str = "A") -> tuple[str, list[str], dnslib.DNSRecord]:
    """Return code, answers as "TYPE data", and the whole answer."""
    question = dnslib.DNSRecord.question(name, kind)
    answer = dnslib.DNSRecord.parse(await ask((dns.address, dns.port), question.pack()))
    answers = [f"{dnslib.QTYPE.get(rr.rtype)} {str(rr.rdata).rstrip('.')}" for rr in answer.rr]
    return dnslib.RCODE.get(answer.header.rcode), sorted(answers), answer


async def seen(dns: Dns, services: int) -> None:
    """Wait until DNS has heard of this many Services besides kubernetes and kube-dns, and of their endpoints."""
    async with asyncio.timeout(10):
        while True:
            names = {s["metadata"]["name"] for s in dns.zone._services.list()} - {"kubernetes", "kube-dns"}
            slices = {s["metadata"]["name"] for s in dns.zone._slices.list()} - {"kubernetes", "kube-dns-1"}
            if len(names) == services and len(slices) == services:
                return
            await asyncio.sleep(0.005)


async def test_a_service_has_an_address(world: Any, dns: Dns) -> None:
    """A Service's name is its ClusterIP; AAAA of it is an empty answer with the SOA, not an error."""
    made = await world.service("web", ports=[{"name": "http", "port": 80}])
    await world.endpoints("web")
    await seen(dns, 1)
    ip = made["spec"]["clusterIP"]
    code, answers, answer = await asked(dns, "web.default.svc.cluster.local")
    assert (code, answers, answer.rr[0].ttl, answer.header.aa) == ("NOERROR", [f"A {ip}"], 30, 1)
    assert (await asked(dns, "WEB.Default.svc.Cluster.LOCAL"))[1] == [f"A {ip}"]
    code, answers, answer = await asked(dns, "web.default.svc.cluster.local", "AAAA")
    assert (code, answers) == ("NOERROR", [])
    assert answer.auth[0].rtype == dnslib.QTYPE.SOA
    code, answers, answer = await asked(dns, "_http._tcp.web.default.svc.cluster.local", "SRV")
    assert answers == ["SRV 0 100 80 web.default.svc.cluster.local"]
    assert str(answer.ar[0].rdata) == ip
    assert (await asked(dns, ".".join(reversed(ip.split("."))) + ".in-addr.arpa", "PTR"))[1] == \
        ["PTR web.default.svc.cluster.local"]


async def test_a_headless_service_has_its_pods(world: Any, dns: Dns) -> None:
    """Headless: every ready pod's address, each by its host name or dashed address, SRV for each."""
    await world.service("db", clusterIP="None", ports=[{"name": "sql", "port": 5432}])
    ips = [world.plan.pod_cidr(0).removesuffix("0/24") + str(n) for n in (2, 3, 4)]
    await world.endpoints("db", {"addresses": [ips[0]], "hostname": "db-0", "conditions": {"ready": True}},
                          {"addresses": [ips[1]], "conditions": {"ready": True}},
                          {"addresses": [ips[2]], "conditions": {"ready": False}}, port=5432, port_name="sql")
    await seen(dns, 1)
    base = "db.default.svc.cluster.local"
    assert (await asked(dns, base))[:2] == ("NOERROR", sorted(f"A {ip}" for ip in ips[:2]))
    dashed = ips[1].replace(".", "-")
    assert (await asked(dns, f"db-0.{base}"))[1] == [f"A {ips[0]}"]
    assert (await asked(dns, f"{dashed}.{base}"))[1] == [f"A {ips[1]}"]
    assert (await asked(dns, f"db-9.{base}"))[0] == "NXDOMAIN"
    assert (await asked(dns, f"_sql._tcp.{base}", "SRV"))[1] == sorted(
        [f"SRV 0 50 5432 db-0.{base}", f"SRV 0 50 5432 {dashed}.{base}"])
    assert (await asked(dns, f"_web._tcp.{base}", "SRV"))[0] == "NXDOMAIN"
    reverse = ".".join(reversed(ips[0].split("."))) + ".in-addr.arpa"
    assert (await asked(dns, reverse, "PTR"))[1] == [f"PTR db-0.{base}"]


async def test_external_names_are_followed(world: Any, dns: Dns) -> None:
    """ExternalName is a CNAME, and what it points to inside the cluster is answered along with it."""
    made = await world.service("web", ports=[{"port": 80}])
    await world.endpoints("web")
    await world.service("alias", type="ExternalName", externalName="web.default.svc.cluster.local")
    await world.endpoints("alias")
    await world.service("far", type="ExternalName", externalName="www.example.com")
    await world.endpoints("far")
    await seen(dns, 3)
    assert (await asked(dns, "alias.default.svc.cluster.local"))[1] == \
        [f"A {made['spec']['clusterIP']}", "CNAME web.default.svc.cluster.local"]
    assert (await asked(dns, "far.default.svc.cluster.local"))[1] == ["CNAME www.example.com"]
    assert await dns.resolve("alias") == made["spec"]["clusterIP"]


@pytest.mark.parametrize(("name", "code"), [
    ("nope.default.svc.cluster.local", "NXDOMAIN"), ("web.nope.svc.cluster.local", "NXDOMAIN"),
    ("nope.svc.cluster.local", "NXDOMAIN"), ("default.svc.cluster.local", "NOERROR"),
    ("svc.cluster.local", "NOERROR"), ("cluster.local", "NOERROR"), ("x.y.cluster.local", "NXDOMAIN"),
    ("10-1-2-3.nope.pod.cluster.local", "NXDOMAIN"), ("web.default.pod.cluster.local", "NXDOMAIN"),
    ("web", "NXDOMAIN"), ("1.0.64.127.in-addr.arpa", "NXDOMAIN"), ("www.example.com", "REFUSED"),
])
async def test_names_without_records(dns: Dns, name: str, code: str) -> None:
    """What exists without records is an empty answer, what does not exist is NXDOMAIN, the rest is not ours."""
    found, answers, _ = await asked(dns, name, "PTR" if "arpa" in name else "A")
    assert (found, answers) == (code, [])


async def test_pods_by_dashed_address(dns: Dns) -> None:
    """A pod's address with dashes, below its namespace and `pod`, is that address."""
    assert (await asked(dns, "10-1-2-3.default.pod.cluster.local"))[1] == ["A 10.1.2.3"]


async def test_tcp_and_truncation(world: Any, dns: Dns) -> None:
    """An answer too long for UDP is marked truncated and whole over TCP; with EDNS more fits."""
    await world.service("many", clusterIP="None", ports=[{"port": 80}])
    ips = [world.plan.pod_cidr(0).removesuffix("0/24") + str(n) for n in range(2, 90)]
    await world.endpoints("many", *({"addresses": [ip], "conditions": {"ready": True}} for ip in ips))
    await seen(dns, 1)
    name = "many.default.svc.cluster.local"
    _, answers, answer = await asked(dns, name)
    assert (answers, answer.header.tc) == ([], 1)
    reader, writer = await asyncio.open_connection(dns.address, dns.port)
    question = dnslib.DNSRecord.question(name).pack()
    writer.write(struct.pack(">H", len(question)) + question)
    size, = struct.unpack(">H", await reader.readexactly(2))
    assert len(dnslib.DNSRecord.parse(await reader.readexactly(size)).rr) == 88
    writer.close()
    big = dnslib.DNSRecord.question(name)
    big.add_ar(dnslib.EDNS0(udp_len=4096))
    assert len(dnslib.DNSRecord.parse(await ask((dns.address, dns.port), big.pack())).rr) == 88


async def test_not_synced_is_servfail(world: Any) -> None:
    """Before DNS has heard from the API server it says SERVFAIL, never that a name does not exist."""
    dns = world.dns()
    handle, gate = world.api.handle, asyncio.Event()

    async def held(request: Any) -> Any:
        await gate.wait()
        return await handle(request)

    world.api.handle = held
    await dns.start()
    assert (await asked(dns, "web.default.svc.cluster.local"))[0] == "SERVFAIL"
    with pytest.raises(LookupError, match="has not heard from the API server"):
        await dns.resolve("web")
    gate.set()
    await dns.stop()
    world.api.handle = handle


async def test_other_names_go_upstream(world: Any) -> None:
    """Names of the world are forwarded to the first server that answers, and its answer comes back as it is."""

    class Upstream(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            reply = dnslib.DNSRecord.parse(data).reply()
            reply.add_answer(dnslib.RR("www.example.com", rdata=dnslib.A("192.0.2.7"), ttl=77))
            self.transport.sendto(reply.pack(), addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Upstream, local_addr=(world.plan.node_ip(5), 5300))
    dns = world.dns(upstream=[(world.plan.node_ip(6), 5300), (world.plan.node_ip(5), 5300)])
    await dns.start()
    code, answers, answer = await asked(dns, "www.example.com")
    assert (code, answers, answer.rr[0].ttl) == ("NOERROR", ["A 192.0.2.7"], 77)
    assert await dns.resolve("www.example.com") == "192.0.2.7"
    await dns.stop()
    transport.close()


async def test_rubbish_is_answered_or_ignored(dns: Dns) -> None:
    """Bytes that are no question do no harm; the next question is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        loop = b"ab\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\1\0\1"  # a name that points to itself
        for data in (b"", b"x", os.urandom(40), b"\0" * 12, b"\xff" * 500, loop):
            sock.sendto(data, (dns.address, dns.port))
    assert (await asked(dns, "cluster.local", "NS"))[1] == ["NS ns.dns.cluster.local"]


async def test_resolve_follows_the_search_path(world: Any, dns: Dns) -> None:
    """`resolve` finds a name as a pod of the namespace would, and says what it asked for when there is none."""
    made = await world.service("web", ports=[{"port": 80}])
    await world.endpoints("web")
    await seen(dns, 1)
    ip = made["spec"]["clusterIP"]
    for name in ("web", "web.default", "web.default.svc", "web.default.svc.cluster.local",
                 "web.default.svc.cluster.local."):
        assert await dns.resolve(name) == ip
    assert await dns.resolve("web.default", "kube-system") == ip
    assert await dns.resolve("10.1.2.3") == "10.1.2.3"
    with pytest.raises(LookupError, match=r'no such host "web": .* \(asked for web.kube-system.svc.cluster.local, '):
        await dns.resolve("web", "kube-system")
    await dns.stop()
    with pytest.raises(LookupError, match="the cluster's DNS is stopped"):
        await dns.resolve("web")
    await dns.start()


async def test_it_announces_itself(world: Any, dns: Dns) -> None:
    """The Service kube-system/kube-dns has DNS's address and endpoints; a second start finds it there."""

    async def there() -> bool:
        names = [s["metadata"]["name"] for s in (await world.client.list("endpointslices", "kube-system"))["items"]]
        return "kube-dns-1" in names

    async with asyncio.timeout(10):
        while True:
            if await there():
                break
            await asyncio.sleep(0.005)
    service = await world.client.get("services", "kube-dns", "kube-system")
    assert service["spec"]["clusterIP"] == dns.address
    assert [p["name"] for p in service["spec"]["ports"]] == ["dns", "dns-tcp"]
    await dns.stop()
    await dns.start()
    assert dns.state == "running" and dns.last_error is None
