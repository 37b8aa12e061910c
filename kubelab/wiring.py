"""Make the parts of one cluster and hand each what it may know: a client of its own name, the clock, the journal.

Invariant: components are made here and in `standalone`, nowhere else.
Models:    kubeadm's phases: certs, kubeconfig, control plane, kubelet-start, addons
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubelab import host
from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.transport import InProcess
from kubelab.machinery.clock import Clock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import User

if TYPE_CHECKING:
    import ssl

    from kubelab.client.pki import Pki
    from kubelab.control_plane.apiserver.audit import AuditOptions
    from kubelab.control_plane.apiserver.server import ApiServer
    from kubelab.control_plane.etcd.endpoints import EtcdEndpoints
    from kubelab.control_plane.etcd.members.group import EtcdGroup
    from kubelab.control_plane.etcd.remote import RemoteEtcd
    from kubelab.control_plane.etcd.server_api import EtcdServer
    from kubelab.control_plane.etcd.wire.fronts import Fronts
    from kubelab.control_plane.etcd.wire.server import EtcdWire
    from kubelab.node.kubelet import Kubelet
    from kubelab.node.kubelet.server import KubeletServer
    from kubelab.node.runtime.process import ShimHandle
    from kubelab.node.runtime.protocol import Runtime

KUBELET_PORT = 10250
CLUSTER_DOMAIN = "cluster.local"
log = logging.getLogger("kubelab")


class Wiring:
    """The plan of one cluster: its addresses, its folders, its certificates, and the makers of its parts."""

    def __init__(self, name: str, runtime: str, clock: Clock, journal: Journal, data_dir: Path | None,
                 audit: AuditOptions | None = None, etcd_listen: str | None = None,
                 etcd: EtcdEndpoints | int = 1, apiservers: int = 1) -> None:
        self._apiservers = apiservers
        self._members = etcd if isinstance(etcd, int) else 1
        self.audit, self._etcd_listen, self._endpoints = audit, etcd_listen, None if isinstance(etcd, int) else etcd
        self.name, self.runtime, self.clock, self.journal, self.data_dir = name, runtime, clock, journal, data_dir
        self._claim: host.Claim | None = None
        self._network: Any = None  # DockerNetwork
        self._docker: Any = None  # docker.DockerClient
        self._wire: Any = None
        self._wire_server: EtcdWire | Fronts
        self._hollow_server: KubeletServer | None = None
        self._shim: ShimHandle | None = None  # one for all nodes of a process cluster
        self._kubeconfig: Path | None = None

    # ── what the machine gives ──────────────────────────────────────────────────────────────────────────

    def claim(self) -> None:
        """Sweep what dead clusters left, then take addresses and folders for this one."""
        host.allow_open_files()
        host.sweep(_sweep_processes, _sweep_docker)
        stored = self._stored()
        self._claim = host.claim(stored.get("block"))
        self.lowest_port = self.lowest_service_port = host.lowest_port()
        if self.data_dir is not None:
            self._remember(stored | {"block": self.addresses.block})

    def _stored(self) -> dict[str, Any]:
        if self.data_dir is None:
            return {}
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self.data_dir / "cluster.json"
        stored: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        if stored.get("runtime", self.runtime) != self.runtime:
            raise host.HostError(f'{self.data_dir} holds a cluster with runtime "{stored["runtime"]}"; start it with '
                                 "that one, or take another folder")
        return stored | {"runtime": self.runtime}

    def _remember(self, stored: dict[str, Any]) -> None:
        assert self.data_dir is not None
        new = self.data_dir / "cluster.json.new"
        new.write_text(json.dumps(stored))
        new.rename(self.data_dir / "cluster.json")

    @property
    def held(self) -> host.Claim:
        assert self._claim is not None, "claim() comes first"
        return self._claim

    @property
    def addresses(self) -> host.AddressPlan:
        return self.held.plan

    async def prepare_runtime(self) -> None:
        """Make the pod network where the runtime needs one."""
        if self.runtime != "docker":
            return
        from kubelab.node.runtime.docker_network import DockerNetwork, connect

        (self.held.path / "docker").touch()
        self._docker = await asyncio.to_thread(connect)
        block = self._stored().get("docker_block", 64 + self.addresses.block % 64)
        self._network = DockerNetwork(self._docker, self.held.cluster_id, block)
        await asyncio.to_thread(self._network.create)
        if self.data_dir is not None:
            self._remember(self._stored() | {"docker_block": self._network.block})

    @property
    def _net(self) -> Any:
        """Return where Services live: the Docker network's plan, else the loopback block's."""
        return self._network or self.addresses

    # ── control plane ───────────────────────────────────────────────────────────────────────────────────

    def control_plane(self, port: int) -> Iterator[Component]:
        """Yield the store, then the API server in front of it; each is started before the next is made."""
        from kubelab.client.pki import Pki
        from kubelab.control_plane.apiserver.server import ApiServer
        from kubelab.control_plane.etcd.api import EtcdApi
        from kubelab.control_plane.etcd.embedded import EmbeddedEtcd

        etcd: EtcdApi
        if self._endpoints is not None:
            yield (etcd := self._remote_etcd(self._endpoints))
        elif self._members > 1:
            yield (etcd := self._etcd_group())
            if self._on_the_wire:
                yield self._etcd_wire(etcd)
        else:
            yield (etcd := EmbeddedEtcd(self._etcd_folder("etcd", "etcd-members"), self.clock))
            if self._on_the_wire:
                yield self._etcd_wire(etcd)
        self.pki: Pki = Pki.open(self.data_dir / "pki" if self.data_dir else None)
        self.server: ApiServer = ApiServer(
            etcd, clock=self.clock, journal=self.journal, pki=self.pki, port=port, service_cidr=self._net.service_cidr,
            lowest_port=self.lowest_port, audit=self.audit, reuse_port=self._apiservers > 1)
        yield self.server
        if self._apiservers > 1:
            yield self._replicas()

    def _replicas(self) -> Component:
        """Make the API servers beside the first: of the same keys, on the same port, over the same store."""
        from kubelab.replicas import Replicas

        folder = self.data_dir / "pki" if self.data_dir else self.held.path / "pki"
        self.pki.write(folder)
        words = ["--bind-address", self.server.host, "--secure-port", str(self.server.port), "--reuse-port",
                 "--until-stdin-closes", "--service-cluster-ip-range", str(self._net.service_cidr),
                 "--cert-dir", str(folder), "--kubelet-certificate-authority", str(folder / "ca.crt"),
                 "--kubeconfig", str(folder / "admin.conf"), *self._etcd_flags()]
        return Replicas("apiserver-replicas", [["apiserver", *words, *self._audit_flags(number)]
                                               for number in range(2, self._apiservers + 1)])

    def _audit_flags(self, number: int) -> list[str]:
        """Return the flags by which the API server of this number writes its own audit trail, beside the first."""
        if self.audit is None:
            return []
        policy, trail = self.audit.policy, Path(self.audit.log)
        if isinstance(policy, dict):
            policy, words = self.held.path / "audit-policy.json", json.dumps(policy)
            policy.write_text(words)
        return ["--audit-policy-file", str(policy), "--audit-log-path",
                str(trail.with_name(f"{trail.stem}-{number}{trail.suffix}"))]

    def _etcd_flags(self) -> list[str]:
        """Return the flags by which another process finds this cluster's store."""
        if self._endpoints is not None:
            urls, files = ",".join(self._endpoints.urls), (self._endpoints.ca_file, self._endpoints.cert_file,
                                                           self._endpoints.key_file)
            prefix = self._endpoints.prefix
        else:
            urls, files, prefix = self._wire_server.endpoint, self._wire_files, "/registry"
        named = zip(("--etcd-cafile", "--etcd-certfile", "--etcd-keyfile"), files, strict=True)
        return ["--etcd-servers", urls, "--etcd-prefix", prefix,
                *(word for flag, file in named if file is not None for word in (flag, str(file)))]

    def _remote_etcd(self, endpoints: EtcdEndpoints) -> RemoteEtcd:
        from kubelab.control_plane.etcd.remote import RemoteEtcd

        if self.data_dir is None:
            log.warning("the state is kept at %s, but keys, certificates and addresses are new at each start: give a "
                        "data_dir to go on with the same, or begin with an empty etcd or another prefix",
                        ",".join(endpoints.urls))
        return RemoteEtcd(endpoints, self.clock)

    def _etcd_folder(self, name: str, other: str) -> Path | None:
        """Return where the store is kept. Raises HostError when the folder has a store of the other kind."""
        if self.data_dir is None:
            return None
        if (self.data_dir / other).exists():
            words = "one member" if other == "etcd" else "several members: add etcd=3 or --etcd-members 3"
            raise host.HostError(f"{self.data_dir} holds a cluster whose etcd has {words}; start it like that, or take "
                                 "another folder")
        return self.data_dir / name

    def _etcd_group(self) -> EtcdGroup:
        from kubelab.control_plane.etcd.members.group import EtcdGroup

        return EtcdGroup(self._members, self._etcd_folder("etcd-members", "etcd"), self.clock, journal=self.journal)

    @property
    def _on_the_wire(self) -> bool:
        return self._etcd_listen is not None or self._apiservers > 1

    def _etcd_wire(self, etcd: EtcdServer) -> Component:
        """Make the store's gRPC server, with an authority of its own: who may read etcd may read every Secret."""
        from kubelab.control_plane.etcd.members.group import EtcdGroup
        from kubelab.control_plane.etcd.wire.access import certify, host_and_port
        from kubelab.control_plane.etcd.wire.fronts import Fronts
        from kubelab.control_plane.etcd.wire.server import EtcdWire

        listen = self._etcd_listen or "127.0.0.1:0"
        folder = self.data_dir / "pki" / "etcd" if self.data_dir else self.held.path / "pki-etcd"
        tls = certify(folder, host_and_port(listen)[0])
        self._wire_files = tls.files
        self._wire_server = (EtcdWire(etcd, listen, clock=self.clock, tls=tls) if not isinstance(etcd, EtcdGroup)
                             else Fronts(etcd, listen, clock=self.clock, tls=tls))
        return self._wire_server

    def client(self, user: str, *groups: str) -> Client:
        """Return an in-process client that acts as `user`."""
        agent = user.rpartition(":")[2] or user
        who = User(user, (*groups, "system:authenticated"))
        return Client(InProcess(self.server.handle, who, agent, wire=self._over_the_wire()), user_agent=agent)

    def _over_the_wire(self) -> Any:
        """Return the admin's HTTPS transport, which opens nothing before its first request."""
        from kubelab.client.transport import Https

        if self._wire is None:
            self._wire = Https(self.server.url, ssl_context=None, lazy_ssl=self._admin_ssl)
        return self._wire

    def _admin_ssl(self) -> ssl.SSLContext:
        from kubelab.client import kubeconfig as files

        assert self._kubeconfig is not None
        return files.load(self._kubeconfig).ssl_context()

    def client_of(self, component: str) -> Client:
        """Return the client that the component of this name is given."""
        if component.startswith("kubelet/"):
            return self.client(f"system:node:{component.partition('/')[2]}", "system:nodes")
        names = {"controller-manager": "kube-controller-manager", "scheduler": "kube-scheduler", "proxy": "kube-proxy"}
        return self.client(f"system:{names.get(component.removeprefix('kube-'), component)}")

    def write_kubeconfig(self, path: Path | None) -> Path:
        """Write the admin's kubeconfig, mode 0600."""
        from kubelab.client import kubeconfig as files

        chosen = path or (self.data_dir or self.held.path) / "kubeconfig"
        certificate, key = self.pki.issue_client("kubernetes-admin", ["system:masters"])
        files.write(chosen, self.server.url, self.pki.ca_pem, certificate, key, context=self.name)
        self._kubeconfig = chosen
        return chosen

    def loops(self) -> Iterator[Component]:
        """Yield the controller manager and the scheduler."""
        from kubelab.control_plane.controllers import ControllerManager
        from kubelab.control_plane.scheduler import Scheduler

        manager = ControllerManager(self.client_of("controller-manager"), clock=self.clock, journal=self.journal,
                                    root_ca_pem=self.pki.ca_pem.decode(), signing_pki=self.pki)
        scheduler = Scheduler(self.client_of("scheduler"), clock=self.clock, journal=self.journal)
        for part in (manager, scheduler):
            self.server.probes[part.name] = partial(_problem, part)
            yield part

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────────────

    def kubelet(self, index: int) -> Kubelet:
        """Make node number `index` with its runtime."""
        from kubelab.node.kubelet import Kubelet

        name = f"node-{index + 1}"
        root = self.held.path / name
        return Kubelet(
            self.client_of(f"kubelet/{name}"), name, self._runtime(name, index, root), clock=self.clock,
            journal=self.journal, node_ip=self._node_ip(0 if self.runtime == "hollow" else index),
            root_dir=root, pod_cidr=self._pod_cidr(index), dns_server=self._net.dns_ip, cluster_domain=CLUSTER_DOMAIN,
            lowest_port=self.lowest_port, server=self._kubelet_server(index))

    def _node_ip(self, index: int) -> str:
        return str(self._net.node_ip(index))  # with Docker one that containers reach, too

    def _pod_cidr(self, index: int) -> str:
        return self.addresses.hollow_pod_cidr(index) if self.runtime != "process" else self.addresses.pod_cidr(index)

    def _runtime(self, name: str, index: int, root: Path) -> Runtime:
        if self.runtime == "docker":
            from kubelab.node.runtime.docker import DockerRuntime

            return DockerRuntime(name, self._docker, self._network, cluster_id=self.held.cluster_id,
                                 cluster_name=self.name, node_ip=self._node_ip(index))
        if self.runtime == "hollow":
            from kubelab.node.runtime.hollow import HollowRuntime

            return HollowRuntime(name, self.clock, self._pod_cidr(index))
        from kubelab.node.runtime.process import ProcessRuntime, ShimHandle

        self._shim = self._shim or ShimHandle(self.held.path)
        return ProcessRuntime(name, root_dir=root, pod_cidr=self._pod_cidr(index), lowest_port=self.lowest_port,
                              node_ip=self.addresses.node_ip(index), clock=self.clock, shim=self._shim)

    def _kubelet_server(self, index: int) -> KubeletServer:
        """Return the node's own server; hollow nodes share one."""
        from kubelab.node.kubelet.server import KubeletServer

        if self.runtime == "hollow" and self._hollow_server is not None:
            return self._hollow_server
        ip = self._node_ip(index)
        made = KubeletServer(ip, KUBELET_PORT, self.pki.server_context([f"node-{index + 1}"], [ip]))
        if self.runtime == "hollow":
            self._hollow_server = made
        return made

    def network(self, nodes: int) -> Iterator[Component]:
        """Yield the proxy and DNS."""
        from kubelab.addons.dns import Dns
        from kubelab.node.proxy import ServiceProxy

        ips = [self._node_ip(i) for i in range(min(nodes, 100) if self.runtime != "hollow" else min(nodes, 1))]
        yield ServiceProxy(self.client_of("proxy"), clock=self.clock, journal=self.journal, node_ips=ips,
                           lowest_port=self.lowest_port)
        yield Dns(self.client_of("dns"), clock=self.clock, address=self._net.dns_ip, cluster_domain=CLUSTER_DOMAIN,
                  lowest_port=self.lowest_port)

    # ── end ─────────────────────────────────────────────────────────────────────────────────────────────

    async def release(self) -> None:
        """Give back what the machine gave."""
        if self._wire is not None:
            await self._wire.close()
        if self._network is not None:
            await asyncio.to_thread(self._network.remove)
            self._docker.close()
        if self._claim is not None:
            self._claim.release()


def _sweep_processes(path: Path) -> None:
    from kubelab.node.runtime import process

    process.sweep(path)


def _sweep_docker(path: Path) -> None:
    if (path / "docker").exists():
        from kubelab.node.runtime import docker_network

        docker_network.sweep(path.name)


def _problem(part: Component) -> str:
    """Say what is wrong with a component, as `kubectl get componentstatuses` shows it; "" while it runs."""
    return "" if part.state == "running" else f"{part.name} is {part.state}"
