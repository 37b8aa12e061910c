"""The composition root: the only file that wires the rooms together.

    etcd ◄─ API server ◄─┬─ controller manager     in process: a function call with plain dicts
                         ├─ scheduler              over HTTPS: kubectl, helm, any other client
                         ├─ kubelet × nodes ─► runtime
                         ├─ kube-proxy, DNS
                         └─ views, checks, this kernel

Invariant: a component gets a client, a clock and the journal, and nothing of another component.
Models:    kubeadm, and the static pods it writes
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kubelab.client.background import BackgroundLoop
from kubelab.client.component import Component
from kubelab.facade import Facade
from kubelab.facade.handle import Handle
from kubelab.machinery.clock import Clock, RealClock
from kubelab.machinery.journal import Journal

if TYPE_CHECKING:
    from kubelab.client.client import Client
    from kubelab.control_plane.apiserver.audit import AuditOptions
    from kubelab.control_plane.apiserver.server import ApiServer
    from kubelab.control_plane.etcd.endpoints import EtcdEndpoints
    from kubelab.facade.etcd import EtcdHandle
    from kubelab.facade.results import Answer
    from kubelab.host import AddressPlan

RuntimeName = Literal["process", "docker", "hollow"]
GC_THRESHOLDS = (50_000, 20, 50)
MEMBERS = (1, 3, 5, 7)  # of etcd: an even number would survive no more than the odd one below it
NAMES = ("etcd", "apiserver", "controller-manager", "scheduler", "kubelet", "proxy", "dns")


class Cluster(Facade):
    """A Kubernetes cluster inside this process.

    `nodes` is a number of nodes; `runtime` how containers run: "process" (plain processes), "docker" (Docker
    Engine) or "hollow" (simulated, for a thousand nodes). `port` is the API server's (0: any free one).
    `data_dir` keeps the cluster's state across restarts. `disable` names components that are not started.
    `audit_policy` (a dict, or a file) says which requests are written down, `audit_log` the file they go to
    (of several API servers, the second writes beside it: audit.log, audit-2.log).
    `etcd` is how many members the store has (3 or 5: `cluster.etcd.kill(0)` and it goes on), or where else it is:
    "http://127.0.0.1:2379", a list of such, or EtcdEndpoints with certificates.
    `apiservers` is how many API servers share its port, all but the first in processes of their own.
    `etcd_listen` ("127.0.0.1:0") puts the store on the wire: `cluster.etcd.endpoint`, for etcdctl and any etcd client.

    Raises: HostError, DockerUnavailable: each says what to do.
    """

    def __init__(self, nodes: int = 3, *, runtime: RuntimeName = "process", name: str = "lab", port: int = 0,
                 data_dir: str | Path | None = None, kubeconfig: str | Path | None = None,
                 disable: Iterable[str] = (), clock: Clock | None = None, quiet: bool = False,
                 audit_policy: dict[str, Any] | str | Path | None = None, audit_log: str | Path | None = None,
                 etcd_listen: str | None = None, etcd: int | str | Sequence[str] | EtcdEndpoints = 1,
                 apiservers: int = 1) -> None:
        began = time.perf_counter()
        unknown = set(disable) - set(NAMES)
        if unknown:
            raise ValueError(f"no component {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
        if runtime not in ("process", "docker", "hollow"):
            raise ValueError(f'no runtime {runtime!r}; there are "process", "docker" and "hollow"')
        if apiservers < 1 or (apiservers > 1 and audit_log == "-"):
            raise ValueError("apiservers is 1 or more; and several need a file for their audit trail, each its own")
        if (audit_policy is None) != (audit_log is None):
            raise ValueError("an audit trail needs both audit_policy and audit_log")
        self._audit = (audit_policy, audit_log) if audit_policy is not None and audit_log is not None else None
        self._apiservers = apiservers
        self._etcd_listen, self._etcd_where = etcd_listen, _where(etcd, etcd_listen)
        self.name, self.runtime_name, self.quiet = name, runtime, quiet
        self.clock: Clock = clock or RealClock()
        self.journal = Journal()
        self.components: dict[str, Component] = {}
        self.kubelets: dict[str, Handle] = {}
        self.background = BackgroundLoop(f"kubelab-{name}")
        self._disabled = frozenset(disable)
        self._collect_rarely()
        self._view: Any = None
        self._etcd: EtcdHandle | None = None
        self._stopped = False
        try:
            self.background.call(self._start(nodes, port, data_dir, kubeconfig))
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)
        _offer_magics()
        self.start_seconds = time.perf_counter() - began

    # ── wiring ──────────────────────────────────────────────────────────────────────────────────────────

    @staticmethod
    def _collect_rarely() -> None:
        """Keep the cycle collector from taking a third of the CPU: stored objects are plain trees, without cycles."""
        gc.set_threshold(max(gc.get_threshold()[0], GC_THRESHOLDS[0]), *GC_THRESHOLDS[1:])

    async def _start(self, nodes: int, port: int, data_dir: str | Path | None,
                     kubeconfig: str | Path | None) -> None:
        from kubelab import host
        from kubelab.wiring import Wiring

        self._wiring = Wiring(self.name, self.runtime_name, self.clock, self.journal,
                              Path(data_dir) if data_dir else None, self._audit_options(), self._etcd_listen,
                              self._etcd_where, self._apiservers)
        self._wiring.claim()
        self.lowest_port = host.lowest_port()
        await self._wiring.prepare_runtime()
        for component in self._wiring.control_plane(port):
            await self._add(component)
        self.client: Client = self._wiring.client("kubernetes-admin", "system:masters")
        self.kubeconfig = self._wiring.write_kubeconfig(Path(kubeconfig) if kubeconfig else None)
        for component in self._wiring.loops():
            await self._add(component)
        kubelets = [self._wiring.kubelet(index) for index in range(nodes)]
        await asyncio.gather(*(self._add(kubelet) for kubelet in kubelets))
        for component in self._wiring.network(nodes):
            await self._add(component)

    def _audit_options(self) -> AuditOptions | None:
        if self._audit is None:
            return None
        from kubelab.control_plane.apiserver.audit import AuditOptions

        return AuditOptions(*self._audit)

    async def _add(self, component: Component) -> None:
        self.components[component.name] = component
        kind = "kubelet" if component.name.startswith("kubelet") else component.name.removeprefix("kube-")
        if component.name.startswith("kubelet/"):
            self.kubelets[component.name.partition("/")[2]] = Handle(component, self.background)
        if kind not in self._disabled:
            await component.start()

    # ── components, by name ─────────────────────────────────────────────────────────────────────────────

    def component(self, name: str) -> Handle:
        """Return the handle of a component: "scheduler", "kubelet/node-1", ..."""
        for known in (name, f"kube-{name}"):
            if known in self.components:
                return Handle(self.components[known], self.background)
        raise KeyError(f"no component {name!r}; there are {', '.join(self.components)}")

    @property
    def etcd(self) -> EtcdHandle:
        """The store: `.get(key)`, `.history(key)`, `.watch(key)`, and what breaks it."""
        from kubelab.facade.etcd import EtcdHandle

        store = self.components["etcd"]
        if self._etcd is None or self._etcd.component is not store:
            self._etcd = EtcdHandle(store, self.background, self.components.get("etcd-wire"), self.journal)
        return self._etcd

    @property
    def apiserver(self) -> Handle:
        return self.component("apiserver")

    @property
    def controller_manager(self) -> Handle:
        return self.component("controller-manager")

    @property
    def scheduler(self) -> Handle:
        return self.component("scheduler")

    @property
    def proxy(self) -> Handle:
        return self.component("proxy")

    @property
    def dns(self) -> Handle:
        return self.component("dns")

    @property
    def controllers(self) -> dict[str, Handle]:
        """The controllers inside the controller manager, each of which stops and starts on its own."""
        inner: dict[str, Component] = self.controller_manager.component.controllers  # type: ignore[attr-defined]
        return {name: Handle(controller, self.background) for name, controller in inner.items()}

    def replace(self, name: str, replacement: Component | Callable[..., Component]) -> Handle:
        """Stop a component and run another in its place.

        `replacement` is a Component, or a class or function that makes one of `(client, clock=..., journal=...)`.
        """
        old = self.component(name).component
        new = replacement if isinstance(replacement, Component) else \
            replacement(self._wiring.client_of(old.name), clock=self.clock, journal=self.journal)
        new.name = old.name

        async def swap() -> None:
            await old.stop()
            self.components[old.name] = new
            await new.start()

        self.call(swap())
        return Handle(new, self.background)

    # ── people ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def url(self) -> str:
        server: ApiServer = self.components["apiserver"]  # type: ignore[assignment]
        return server.url

    @property
    def addresses(self) -> AddressPlan:
        return self._wiring.addresses

    def http(self, url: str, *, method: str = "GET", **options: Any) -> Answer:
        """Fetch a URL as a pod of this cluster would: through DNS, Service and proxy.

        Options: headers, data, json, timeout_s, allow_redirects.
        Raises: ConnectionError saying where the way ended.
        """
        from kubelab.facade.http import fetch

        dns: Any = self.components["dns"]

        async def resolve(name: str) -> str:
            return str(await dns.resolve(name, self.namespace))

        return self.call(fetch(url, resolve, self._wiring.lowest_service_port, method=method, **options))

    @property
    def view(self) -> Any:
        """The live cluster view, one widget for this cluster."""
        if self._view is None:
            from kubelab.views.cluster_view import ClusterView

            self._view = ClusterView(self.client, self.journal, call=self.call, name=self.name,
                                     components=getattr(self, "components", None))
        return self._view

    def graph(self, namespace: str | None = None) -> Any:
        """Draw Ingress → Service → EndpointSlice → Pod ← ReplicaSet ← Deployment of a namespace."""
        from kubelab.views.graph import cluster_graph

        return self.call(cluster_graph(self.client, namespace or self.namespace))

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.view._repr_mimebundle_(**options)

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else f"at {self.url}"
        return f"<kubelab cluster {self.name!r} {state}, {len(self.kubelets)} nodes, runtime {self.runtime_name}>"

    @classmethod
    def connect(cls, kubeconfig: str | Path | None = None, *, context: str | None = None) -> RemoteCluster:
        """Return the same object, views and waits on a running cluster: kind, minikube, a real one.

        Raises: KubeconfigError (no file, no such context), ConnectionError; each says what to do.
        """
        return RemoteCluster(kubeconfig, context)

    # ── end ─────────────────────────────────────────────────────────────────────────────────────────────

    def stop(self) -> None:
        """Stop every component; no process, container, network, socket or file stays behind."""
        if self._stopped:
            return
        self._stopped = True
        atexit.unregister(self.stop)
        if self._view is not None:
            self._view.stop()
        if self._etcd is not None:
            self._etcd.close_view()
        if self.background.running:
            self.background.call(self._end())
            self.background.stop()

    async def _end(self) -> None:
        parts = list(self.components.values())
        kubelets: list[Any] = [c for c in parts if c.name.startswith("kubelet")]
        others = [c for c in reversed(parts) if c not in kubelets]
        front = [c for c in others if c.name not in ("apiserver", "etcd-wire", "etcd")]
        await asyncio.gather(*(c.stop() for c in front), return_exceptions=True)
        await asyncio.gather(*(c.close() for c in kubelets), return_exceptions=True)
        for component in (c for c in others if c not in front):
            await component.stop()
        if hasattr(self, "_wiring"):
            await self._wiring.release()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class RemoteCluster(Facade):
    """Any Kubernetes cluster behind a kubeconfig, handled like one of ours."""

    def __init__(self, kubeconfig: str | Path | None, context: str | None) -> None:
        from kubelab.client import kubeconfig as files

        info = files.load(Path(kubeconfig) if kubeconfig else None, context)
        self.name, self.url = context or info.context, info.server
        self.kubeconfig, self.context = Path(kubeconfig) if kubeconfig else files.default_path(), info.context
        self.namespace = info.namespace or "default"
        self.journal: Journal | None = None
        self._view: Any = None
        self.background = BackgroundLoop(f"kubelab-{self.name}")
        self.client = files.client_for(info)
        _offer_magics()
        try:
            self.version: dict[str, str] = self.call(self.client.raw("GET", "/version"))
        except BaseException:
            self.stop()
            raise

    view = Cluster.view
    graph = Cluster.graph
    _repr_mimebundle_ = Cluster._repr_mimebundle_

    def __repr__(self) -> str:
        return f"<cluster {self.name!r} at {self.url}, Kubernetes {self.version.get('gitVersion')}>"

    def stop(self) -> None:
        """Let go of the cluster, which goes on without us."""
        if self._view is not None:
            self._view.stop()
        if self.background.running:
            self.background.call(self.client.close())
            self.background.stop()

    def __enter__(self) -> RemoteCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _where(where: int | str | Sequence[str] | EtcdEndpoints, listen: str | None) -> EtcdEndpoints | int:
    """Return how many members the store has in this process, or where else it is. Raises ValueError."""
    if isinstance(where, int):
        if where not in MEMBERS:
            raise ValueError(f"etcd={where}: an etcd has 1, 3, 5 or 7 members, so that a majority is more than half")
        return where
    if listen is not None:
        raise ValueError("etcd_listen puts the cluster's own store on the wire; with `etcd` that store is elsewhere")
    from kubelab.control_plane.etcd.endpoints import EtcdEndpoints

    return EtcdEndpoints.of(where)


def _offer_magics() -> None:
    """Give a notebook %kubectl and %%apply as soon as it has a cluster."""
    import sys

    if "IPython" in sys.modules:
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        if shell is not None:
            from kubelab.magics import register

            register(shell)
