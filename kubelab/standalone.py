"""Every component alone, against the API server that a kubeconfig names: what keeps the seams honest.

    kubelab up --disable scheduler --kubeconfig K      kubelab scheduler --kubeconfig K

Invariant: a component started here is the very class that a Cluster runs; only its transport differs.
Models:    kube-apiserver, etcd, kube-scheduler, kube-controller-manager, kubelet, kube-proxy, with their flag names
Left out:  configuration files
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubelab import etcd_command
from kubelab.client.background import new_loop
from kubelab.machinery.clock import RealClock
from kubelab.machinery.journal import Journal

if TYPE_CHECKING:
    from kubelab.client.client import Client
    from kubelab.client.component import Component
    from kubelab.client.pki import Pki
    from kubelab.control_plane.apiserver.audit import AuditOptions
    from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
    from kubelab.control_plane.etcd.endpoints import EtcdEndpoints
    from kubelab.control_plane.etcd.remote import RemoteEtcd
    from kubelab.machinery.clock import Clock

Add = Callable[..., argparse.ArgumentParser]
Make = Callable[[argparse.Namespace, AsyncExitStack], Awaitable["Component"]]


def add_commands(commands: Any, command: Add) -> None:
    """Add apiserver, etcd, scheduler, controller-manager, kubelet and proxy to the command line."""
    apiserver = command(commands, "apiserver", _runs(_apiserver), "run the API server alone, with its store",
                        "kubelab apiserver --data-dir ./state --secure-port 6443 --kubeconfig ./admin.conf")
    apiserver.add_argument("--data-dir", type=Path, help="keep the store and the certificates here; else in memory")
    apiserver.add_argument("--bind-address", default="127.0.0.1", help="listen here (default 127.0.0.1)")
    apiserver.add_argument("--secure-port", type=int, default=6443, help="0: any free one (default 6443)")
    apiserver.add_argument("--service-cluster-ip-range", default="127.250.128.0/17", help="addresses of Services")
    apiserver.add_argument("--kubelet-certificate-authority", type=Path, metavar="FILE",
                           help="whose kubelets to trust; without it, like the real one, it trusts any")
    apiserver.add_argument("--kubeconfig", type=Path, default=Path("admin.conf"),
                           help="write the admin's kubeconfig here (default ./admin.conf)")

    apiserver.add_argument("--shutdown-delay-duration", type=float, default=0.0, metavar="SECONDS",
                           help="stay this long, no longer ready, before the end (default 0)")
    apiserver.add_argument("--cert-dir", type=Path, metavar="DIR", help="certificates (default: pki of --data-dir)")
    apiserver.add_argument("--reuse-port", action="store_true", help="others may listen on this port too")
    apiserver.add_argument("--until-stdin-closes", action="store_true", help="end with whoever started it")
    etcd_arguments(apiserver)
    _audit_arguments(apiserver)

    etcd = command(commands, "etcd", _runs(_etcd), "run etcd alone, for etcdctl or a real kube-apiserver",
                   "kubelab etcd --members 3 --listen 127.0.0.1:2379 --data-dir ./etcd")
    etcd_command.add_arguments(etcd)

    scheduler = command(commands, "scheduler", _runs(_scheduler), "run the scheduler alone",
                        "kubelab scheduler --kubeconfig ~/.kube/config")
    _kubeconfig(scheduler)
    _leader_election(scheduler, "kube-scheduler")

    manager = command(commands, "controller-manager", _runs(_controller_manager), "run the controllers alone",
                      "kubelab controller-manager --kubeconfig ~/.kube/config "
                      "--controllers '*,-node-lifecycle-controller'")
    _kubeconfig(manager)
    _leader_election(manager, "kube-controller-manager")
    manager.add_argument("--controllers", default="*", metavar="NAME,...", help="'*', names, '-name' to leave one out")
    manager.add_argument("--node-monitor-grace-period", type=float, default=40.0, metavar="SECONDS",
                         help="a node silent for so long is NotReady (default 40)")
    manager.add_argument("--root-ca-file", type=Path, help="CA that pods are given (default: the kubeconfig's)")
    manager.add_argument("--cluster-signing-cert-file", type=Path, metavar="FILE",
                         help="the authority that signs certificates which are asked for")
    manager.add_argument("--cluster-signing-key-file", type=Path, metavar="FILE", help="its key")

    kubelet = command(commands, "kubelet", _runs(_kubelet), "run one node alone",
                      "kubelab kubelet --kubeconfig ~/.kube/config --hostname-override node-9 --runtime hollow")
    _kubeconfig(kubelet)
    kubelet.add_argument("--hostname-override", metavar="NAME", help="the node's name (default: the host's)")
    kubelet.add_argument("--runtime", choices=("process", "hollow"), default="process")
    kubelet.add_argument("--node-ip", help="the node's address (default: one of 127.0.0.0/8)")
    kubelet.add_argument("--port", type=int, default=10250, help="logs, exec and port-forward (default 10250)")
    kubelet.add_argument("--cluster-dns", default="", metavar="IP", help="the cluster's DNS server")
    kubelet.add_argument("--cluster-domain", default="cluster.local")

    proxy = command(commands, "proxy", _runs(_proxy), "run the Service proxy alone",
                    "kubelab proxy --kubeconfig ~/.kube/config")
    _kubeconfig(proxy)
    proxy.add_argument("--nodeport-addresses", default="127.0.0.1", metavar="IP,...", help="where NodePorts listen")


def etcd_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where another etcd is."""
    parser.add_argument("--etcd-servers", "--etcd-endpoints", default="", metavar="URL,...",
                        help="keep the state in this etcd, for example http://127.0.0.1:2379")
    parser.add_argument("--etcd-cafile", type=Path, metavar="FILE", help="the authority of its certificates")
    parser.add_argument("--etcd-certfile", type=Path, metavar="FILE", help="our certificate for it")
    parser.add_argument("--etcd-keyfile", type=Path, metavar="FILE", help="the key of that certificate")
    parser.add_argument("--etcd-prefix", default="/registry", metavar="PATH",
                        help="where in it the keys are (default /registry)")


def etcd_endpoints(options: argparse.Namespace) -> EtcdEndpoints | None:
    """Read these flags; None when the store is to be our own. Raises ValueError."""
    if not options.etcd_servers:
        return None
    from kubelab.control_plane.etcd.endpoints import EtcdEndpoints

    return EtcdEndpoints(EtcdEndpoints.of(options.etcd_servers).urls, options.etcd_cafile, options.etcd_certfile,
                         options.etcd_keyfile, options.etcd_prefix)


def _audit_arguments(apiserver: argparse.ArgumentParser) -> None:
    apiserver.add_argument("--audit-policy-file", type=Path, metavar="FILE", help="which requests are written down")
    apiserver.add_argument("--audit-log-path", metavar="FILE", help="where to; '-' is standard output")
    apiserver.add_argument("--audit-log-maxsize", type=float, default=100, metavar="MB", help="then begin a new file")
    apiserver.add_argument("--audit-log-maxbackup", type=int, default=0, metavar="N", help="old files to keep (0: all)")
    apiserver.add_argument("--audit-log-maxage", type=int, default=0, metavar="DAYS", help="how long to keep them")


def _audit(options: argparse.Namespace) -> AuditOptions | None:
    from kubelab.control_plane.apiserver.audit import AuditOptions

    if options.audit_policy_file is None or options.audit_log_path is None:
        return None
    return AuditOptions(options.audit_policy_file, options.audit_log_path, options.audit_log_maxsize,
                        options.audit_log_maxbackup, options.audit_log_maxage)


def _kubeconfig(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", type=Path, required=True, help="which API server, and as whom")
    parser.add_argument("--context", help="context in the kubeconfig (default: its current one)")


def _leader_election(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--leader-elect", nargs="?", const="true", default="true", choices=("true", "false"),
                        help="of several, only the one that holds the Lease works (default true)")
    parser.add_argument("--leader-elect-lease-duration", type=_seconds, default=15.0, metavar="DURATION")
    parser.add_argument("--leader-elect-renew-deadline", type=_seconds, default=10.0, metavar="DURATION")
    parser.add_argument("--leader-elect-retry-period", type=_seconds, default=2.0, metavar="DURATION")
    parser.add_argument("--leader-elect-resource-name", default=name, metavar="NAME")
    parser.add_argument("--leader-elect-resource-namespace", default="kube-system", metavar="NAMESPACE")


def _seconds(text: str) -> float:
    """Read "15s" or "1m30s", or a plain number of seconds."""
    from kubelab.machinery.durations import duration_s

    return float(text) if text.replace(".", "", 1).isdigit() else duration_s(text)


def _elected(options: argparse.Namespace, client: Client, work: Component) -> Component:
    from kubelab.client.leader_election import Leader, Terms

    if options.leader_elect == "false":
        return work
    terms = Terms(options.leader_elect_lease_duration, options.leader_elect_renew_deadline,
                  options.leader_elect_retry_period)
    return Leader(client, options.leader_elect_resource_name, work, clock=RealClock(), terms=terms,
                  namespace=options.leader_elect_resource_namespace)


def _runs(make: Make) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_life(make, options))
        return 0

    return run


async def _life(make: Make, options: argparse.Namespace) -> None:
    """Start the component, say so, and stop it at Ctrl-C or SIGTERM."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with AsyncExitStack() as stack:
        component = await make(options, stack)
        await component.start()
        stack.push_async_callback(component.stop)
        print(f"{component.name} is running; Ctrl-C ends it", flush=True)
        if getattr(options, "until_stdin_closes", False):
            asyncio.get_running_loop().add_reader(0, lambda: None if os.read(0, 4096) else ended.set())
        await ended.wait()


async def _client(options: argparse.Namespace, stack: AsyncExitStack, user_agent: str) -> Client:
    from kubelab.client import kubeconfig

    client = kubeconfig.connect(options.kubeconfig, options.context)
    client.user_agent = user_agent
    stack.push_async_callback(client.close)
    await client.raw("GET", "/version")  # say at once when nobody is there, or when we may not come in
    return client


async def _apiserver(options: argparse.Namespace, stack: AsyncExitStack) -> Component:
    from kubelab import host
    from kubelab.client import kubeconfig
    from kubelab.client.pki import Pki
    from kubelab.control_plane.apiserver.server import ApiServer

    clock = RealClock()
    etcd = _store(options, clock)
    await etcd.start()
    stack.push_async_callback(etcd.stop)
    pki = Pki.open(options.cert_dir or (options.data_dir / "pki" if options.data_dir else None))
    kubelet_ca = options.kubelet_certificate_authority.read_bytes() if options.kubelet_certificate_authority else None
    server = ApiServer(etcd, clock=clock, journal=Journal(), pki=pki, host=options.bind_address,
                       port=options.secure_port, service_cidr=options.service_cluster_ip_range,
                       lowest_port=host.lowest_port(), audit=_audit(options),
                       shutdown_delay_s=options.shutdown_delay_duration, kubelet_ca_pem=kubelet_ca,
                       verify_kubelets=kubelet_ca is not None, reuse_port=options.reuse_port)
    await server.start()
    certificate, key = pki.issue_client("kubernetes-admin", ["system:masters"])
    kubeconfig.write(options.kubeconfig, server.url, pki.ca_pem, certificate, key, context="kubelab")
    print(f"{server.url}   export KUBECONFIG={options.kubeconfig}", flush=True)
    return server


def _store(options: argparse.Namespace, clock: Clock) -> EmbeddedEtcd | RemoteEtcd:
    """Make the API server's store: its own, or the way to another."""
    endpoints = etcd_endpoints(options)
    if endpoints is None:
        from kubelab.control_plane.etcd.embedded import EmbeddedEtcd

        return EmbeddedEtcd(options.data_dir / "etcd" if options.data_dir else None, clock)
    from kubelab.control_plane.etcd.remote import RemoteEtcd

    return RemoteEtcd(endpoints, clock)


async def _etcd(options: argparse.Namespace, stack: AsyncExitStack) -> Component:
    return await etcd_command.etcd_of(options, stack)


async def _scheduler(options: argparse.Namespace, stack: AsyncExitStack) -> Component:
    from kubelab.control_plane.scheduler import Scheduler

    client = await _client(options, stack, "kube-scheduler")
    return _elected(options, client, Scheduler(client, clock=RealClock(), journal=Journal()))


async def _controller_manager(options: argparse.Namespace, stack: AsyncExitStack) -> Component:
    from kubelab.client import kubeconfig
    from kubelab.control_plane.controllers import ControllerManager

    info = kubeconfig.load(options.kubeconfig, options.context)
    root_ca = options.root_ca_file.read_text() if options.root_ca_file else (info.ca_pem or b"").decode()
    client = await _client(options, stack, "kube-controller-manager")
    manager = ControllerManager(client, clock=RealClock(), journal=Journal(), enabled=options.controllers.split(","),
                                root_ca_pem=root_ca, node_grace_s=options.node_monitor_grace_period,
                                signing_pki=_signing(options))
    return _elected(options, client, manager)


def _signing(options: argparse.Namespace) -> Pki | None:
    from kubelab.client.pki import Pki

    certificate, key = options.cluster_signing_cert_file, options.cluster_signing_key_file
    return Pki(certificate.read_bytes(), key.read_bytes(), b"") if certificate and key else None


async def _kubelet(options: argparse.Namespace, stack: AsyncExitStack) -> Component:
    import socket

    from kubelab import host
    from kubelab.client import kubeconfig
    from kubelab.client.pki import Pki
    from kubelab.node.kubelet import Kubelet
    from kubelab.node.kubelet.server import KubeletServer
    from kubelab.node.runtime import process
    from kubelab.node.runtime.hollow import HollowRuntime
    from kubelab.node.runtime.protocol import Runtime

    host.sweep(process.sweep)
    held = host.claim()
    stack.callback(held.release)
    name, clock = options.hostname_override or socket.gethostname().lower(), RealClock()
    ip, pods, low = options.node_ip or held.plan.node_ip(0), held.plan.pod_cidr(0), host.lowest_port()
    runtime: Runtime = HollowRuntime(name, clock, held.plan.hollow_pod_cidr(0)) if options.runtime == "hollow" else \
        process.ProcessRuntime(name, root_dir=held.path / name, pod_cidr=pods, lowest_port=low, node_ip=ip, clock=clock)
    info = kubeconfig.load(options.kubeconfig, options.context)
    own = Pki.open(None)  # like the real one, it signs its own serving certificate when it is given none
    server = KubeletServer(ip, options.port, own.server_context([name], [ip], client_ca_pem=info.ca_pem))
    return Kubelet(await _client(options, stack, "kubelet"), name, runtime, clock=clock, journal=Journal(), node_ip=ip,
                   root_dir=held.path / name, pod_cidr=pods, dns_server=options.cluster_dns,
                   cluster_domain=options.cluster_domain, lowest_port=low, server=server)


async def _proxy(options: argparse.Namespace, stack: AsyncExitStack) -> Component:
    from kubelab.host import lowest_port
    from kubelab.node.proxy import ServiceProxy

    return ServiceProxy(await _client(options, stack, "kube-proxy"), clock=RealClock(), journal=Journal(),
                        node_ips=options.nodeport_addresses.split(","), lowest_port=lowest_port())
