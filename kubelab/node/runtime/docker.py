"""Docker runtime: pods as Docker containers, one pause container holding each pod's network.

    sandbox    = pause container on the cluster's bridge: the pod's IP, hostname, DNS
    container  = network_mode "container:<pause>": shares all three
    events     ◄─ the engine's event stream, one thread a node

Invariant: what exists is what the engine says; this object keeps no list of its own that could differ.
Models:    cri-dockerd. Names read as cluster.node.namespace.pod.container.attempt in `docker ps`
Left out:  one network per node (see docker_network.py)
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from kubelab.machinery.clock import parse_timestamp
from kubelab.node.runtime import docker_images
from kubelab.node.runtime.docker_network import INFRA_IMAGE, LABEL, DockerNetwork
from kubelab.node.runtime.docker_streams import DockerConnection, DockerStreams, read_logs
from kubelab.node.runtime.protocol import (
    ContainerConfig,
    ContainerStatus,
    PodRef,
    RuntimeEvent,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
    Streams,
    Usage,
)

if TYPE_CHECKING:
    from docker import DockerClient

T = TypeVar("T")
PAUSE = ["/bin/busybox", "sh", "-c", "trap 'exit 0' TERM INT; while :; do /bin/busybox sleep 86400 & wait; done"]
OOM_NEWS_S = 0.3
STOP_S = 10.0  # what is being made when the node stops is waited for so long, then removed
NEVER = "0001-01-01T00:00:00Z"


class DockerRuntime:
    """One node's share of the Docker engine. Raises DockerUnavailable, ImageError, RuntimeFailure."""

    name = "docker"
    needs_files = True

    def __init__(self, node: str, client: DockerClient, network: DockerNetwork, *, cluster_id: str,
                 cluster_name: str, node_ip: str = "127.0.0.1") -> None:
        self._node_ip = node_ip
        self._node, self._client, self._network = node, client, network
        self._cluster_id, self._prefix = cluster_id, f"{cluster_name}{cluster_id.partition('-')[0]}.{node}"
        self.version = str(client.version()["Version"])
        self._threads = ThreadPoolExecutor(8, thread_name_prefix=f"docker-{node}")
        self._listeners: list[asyncio.Queue[RuntimeEvent]] = []
        self._event_stream: Any = None
        self._making: set[asyncio.Future[Any]] = set()

    async def _do(self, work: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a blocking call of the SDK in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **options))

    async def _make(self, work: Callable[..., T], *args: Any) -> T:
        """Run what makes a container, so that `stop` can wait for it though nobody else does any more."""
        made = asyncio.ensure_future(self._do(work, *args))
        self._making.add(made)
        made.add_done_callback(self._making.discard)
        return await asyncio.shield(made)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        chosen = {"label": [f"{LABEL}={self._cluster_id}", f"kubelab.node={self._node}"], "type": "container",
                  "event": ["start", "die", "destroy"]}
        self._event_stream = self._client.events(decode=True, filters=chosen)
        threading.Thread(target=self._listen, args=(loop,), name=f"docker-events-{self._node}", daemon=True).start()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        kinds = {"start": "started", "die": "exited", "destroy": "removed"}
        for event in self._event_stream:
            labels = event["Actor"]["Attributes"]
            kind = "sandbox" if labels.get("kubelab.role") == "sandbox" else kinds[event["Action"]]
            note = RuntimeEvent(_pod(labels), event["Actor"]["ID"], kind)
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(self._publish, note)

    def _publish(self, event: RuntimeEvent) -> None:
        for queue in self._listeners:
            queue.put_nowait(event)

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        queue: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    async def stop(self) -> None:
        """Remove every container of this node."""
        await self._do(self._remove_all)
        if self._making:
            await asyncio.wait(self._making, timeout=STOP_S)
            await self._do(self._remove_all)
        if self._event_stream is not None:
            self._event_stream.close()
        self._threads.shutdown(wait=False)

    def _remove_all(self) -> None:
        found = self._mine()
        for container in sorted(found, key=lambda c: c["Labels"]["kubelab.role"] == "sandbox"):
            self._remove(container["Id"])

    # ── sandboxes ───────────────────────────────────────────────────────────────────────────────────────

    def _mine(self, **labels: str) -> list[dict[str, Any]]:
        chosen = [f"{LABEL}={self._cluster_id}", f"kubelab.node={self._node}",
                  *(f"{k.replace('_', '.')}={v}" for k, v in labels.items())]
        found: list[dict[str, Any]] = self._client.api.containers(all=True, filters={"label": chosen})
        return found

    def _labels(self, pod: PodRef, role: str) -> dict[str, str]:
        return {LABEL: self._cluster_id, "kubelab.node": self._node, "kubelab.role": role,
                "io.kubernetes.pod.name": pod.name, "io.kubernetes.pod.namespace": pod.namespace,
                "io.kubernetes.pod.uid": pod.uid}

    async def run_pod_sandbox(self, config: SandboxConfig) -> Sandbox:
        return await self._make(self._run_sandbox, config)

    def _run_sandbox(self, config: SandboxConfig) -> Sandbox:
        from docker.errors import APIError

        ports = {f"{p.container_port}/{p.protocol.lower()}": (p.host_ip or self._node_ip, p.host_port)
                 for p in config.ports if p.host_port}
        network: dict[str, Any] = {"network_mode": "host"} if config.host_network else {
            "network": self._network.name, "hostname": config.hostname[:63], "ports": ports,
            "dns": [config.dns_server] if config.dns_server else None,
            "dns_search": list(config.dns_searches) or None,
            "dns_opt": list(config.dns_options) or None, "domainname": "" if "." in config.hostname else config.domain,
            "extra_hosts": {name: ip for ip, names in config.host_aliases for name in names} or None}
        name = f"{self._prefix}.{config.pod.namespace}.{config.pod.name}.pause.{config.pod.uid[:5]}"
        try:
            pause = self._client.containers.run(
                INFRA_IMAGE, PAUSE, name=name, detach=True, entrypoint=[],
                labels=self._labels(config.pod, "sandbox") | {f"label.{k}": v for k, v in config.labels.items()},
                **network)
        except APIError as error:
            self._remove(name)  # made, but not started: a host port is taken, say
            raise RuntimeFailure("CreatePodSandboxError", str(error.explanation)) from error
        return self._sandbox(self._client.api.inspect_container(str(pause.id)))

    def _sandbox(self, found: dict[str, Any]) -> Sandbox:
        networks = found["NetworkSettings"]["Networks"]
        ip = networks.get(self._network.name, {}).get("IPAddress", "") or "127.0.0.1"
        return Sandbox(found["Id"], _pod(found["Config"]["Labels"]), ip, bool(found["State"]["Running"]))

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        await self._do(self._kill, sandbox_id)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self._do(self._remove, sandbox_id)

    async def list_sandboxes(self) -> Sequence[Sandbox]:
        def work() -> list[Sandbox]:
            return [self._sandbox(found) for c in self._mine(kubelab_role="sandbox")
                    if (found := self._inspect(c["Id"])) is not None]

        return await self._do(work)

    # ── images ──────────────────────────────────────────────────────────────────────────────────────────

    async def image_present(self, image: str) -> bool:
        return await self._do(docker_images.image_id, self._client, image) is not None

    async def pull_image(self, image: str) -> str:
        return await self._do(docker_images.pull, self._client, image)

    async def image_user(self, image: str) -> str:
        return await self._do(docker_images.user, self._client, image)

    # ── containers ──────────────────────────────────────────────────────────────────────────────────────

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        return await self._make(self._create, sandbox_id, config)

    def _create(self, sandbox_id: str, config: ContainerConfig) -> str:
        from docker.errors import APIError

        pod = _pod(self._client.api.inspect_container(sandbox_id)["Config"]["Labels"])
        labels = self._labels(pod, "container") | {
            "io.kubernetes.container.name": config.name, "kubelab.attempt": str(config.attempt),
            "kubelab.sandbox": sandbox_id, "kubelab.image": config.image}
        host = self._client.api.create_host_config(
            network_mode=f"container:{sandbox_id}", ipc_mode=None,
            binds=[f"{m.host_path}:{m.container_path}:{'ro' if m.read_only else 'rw'}" for m in config.mounts],
            nano_cpus=config.cpu_limit_millicpu * 1_000_000 or None,
            cpu_shares=max(2, config.cpu_request_millicpu * 1024 // 1000) if config.cpu_request_millicpu else None,
            mem_limit=config.memory_limit_bytes or None, memswap_limit=config.memory_limit_bytes or None,
            read_only=config.read_only_root, privileged=config.privileged, group_add=list(config.groups) or None,
            cap_add=list(config.add_capabilities) or None, cap_drop=list(config.drop_capabilities) or None,
            security_opt=["no-new-privileges"] if config.no_new_privileges else None,
            pid_mode={"pod": f"container:{sandbox_id}", "node": "host"}.get(config.pids))
        name = f"{self._prefix}.{pod.namespace}.{pod.name}.{config.name}.{config.attempt}.{pod.uid[:5]}"
        try:
            made = self._client.api.create_container(
                config.image, command=list(config.args) or None, entrypoint=list(config.command) or None, name=name,
                environment=dict(config.env), working_dir=config.working_dir or None, labels=labels, host_config=host,
                tty=config.tty, stdin_open=config.stdin, user=_user(config))
        except APIError as error:
            raise RuntimeFailure("CreateContainerError", f"Error response from daemon: {error.explanation}") from error
        return str(made["Id"])

    async def start_container(self, container_id: str) -> None:
        from docker.errors import APIError

        try:
            await self._do(self._client.api.start, container_id)
        except APIError as error:
            raise RuntimeFailure("RunContainerError", f"Error response from daemon: {error.explanation}") from error

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        from docker.errors import NotFound

        try:
            await self._do(self._client.api.stop, container_id, timeout=max(0, round(grace_s)))
        except NotFound:
            return

    def _kill(self, container_id: str) -> None:
        from docker.errors import APIError

        try:
            self._client.api.kill(container_id)
        except APIError as error:
            if error.status_code not in (404, 409):
                raise

    async def remove_container(self, container_id: str) -> None:
        await self._do(self._remove, container_id)

    def _remove(self, container_id: str) -> None:
        from docker.errors import APIError

        try:
            self._client.api.remove_container(container_id, force=True, v=True)
        except APIError as error:
            if error.status_code not in (404, 409):  # 409: its removal is already under way
                raise

    def _inspect(self, container_id: str) -> dict[str, Any] | None:
        from docker.errors import NotFound

        try:
            found: dict[str, Any] = self._client.api.inspect_container(container_id)
        except NotFound:
            return None
        return found

    async def list_containers(self) -> Sequence[ContainerStatus]:
        def work() -> list[ContainerStatus]:
            return [_status(found) for c in self._mine(kubelab_role="container")
                    if (found := self._inspect(c["Id"])) is not None]

        return await self._do(work)

    async def container_status(self, container_id: str) -> ContainerStatus | None:
        found = await self._do(self._inspect, container_id)
        if found is not None and _maybe_oom(found):
            await asyncio.sleep(OOM_NEWS_S)
            found = await self._do(self._inspect, container_id)
        return None if found is None else _status(found)

    # ── streams ─────────────────────────────────────────────────────────────────────────────────────────

    async def exec(self, container_id: str, command: Sequence[str], *, tty: bool = False,
                   stdin: bool = False) -> Streams:
        from docker.errors import APIError

        def work() -> DockerStreams:
            made = self._client.api.exec_create(container_id, list(command), stdin=stdin, tty=tty)
            return DockerStreams(self._client, self._client.api.exec_start(made["Id"], tty=tty, socket=True), tty,
                                 exec_id=made["Id"])

        try:
            return await self._do(work)
        except APIError as error:
            raise RuntimeFailure("ExecError", str(error.explanation)) from error

    async def attach(self, container_id: str) -> Streams:
        def work() -> DockerStreams:
            tty = bool(self._client.api.inspect_container(container_id)["Config"]["Tty"])
            params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            return DockerStreams(self._client, self._client.api.attach_socket(container_id, params=params), tty,
                                 container_id=container_id)

        return await self._do(work)

    def logs(self, container_id: str, *, follow: bool = False, tail_lines: int | None = None,
             since_s: float | None = None, timestamps: bool = False,
             limit_bytes: int | None = None) -> AsyncIterator[bytes]:
        return read_logs(self._client, container_id, follow=follow, tail_lines=tail_lines, since_s=since_s,
                         timestamps=timestamps, limit_bytes=limit_bytes)

    async def port_forward(self, sandbox_id: str, port: int) -> DockerConnection:
        found = await self._do(self._inspect, sandbox_id)
        if found is None:
            raise RuntimeFailure("PortForwardError", f"the sandbox {sandbox_id[:12]} is gone")
        return await DockerConnection.open(self._sandbox(found).ip, port)

    async def stats(self, container_id: str) -> Usage:
        found = await self._do(self._client.api.stats, container_id, stream=False, one_shot=True)
        memory = found.get("memory_stats") or {}
        used = memory.get("usage", 0) - (memory.get("stats") or {}).get("total_inactive_file", 0)
        return Usage(found["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, max(0, used))


def _user(config: ContainerConfig) -> str | None:
    if config.user is None and config.group is None:
        return None
    return f"{config.user or 0}" + ("" if config.group is None else f":{config.group}")


def _pod(labels: dict[str, str]) -> PodRef:
    return PodRef(labels["io.kubernetes.pod.namespace"], labels["io.kubernetes.pod.name"],
                  labels["io.kubernetes.pod.uid"], labels["kubelab.node"])


def _maybe_oom(found: dict[str, Any]) -> bool:
    """Tell whether it was killed just now under a memory limit: the engine hears of the reason a little later."""
    state = found["State"]
    return bool(state["ExitCode"] == 137 and not state.get("OOMKilled") and found["HostConfig"].get("Memory")
                and time.time() - _time(state["FinishedAt"]) < OOM_NEWS_S)


def _status(found: dict[str, Any]) -> ContainerStatus:
    state, labels = found["State"], found["Config"]["Labels"]
    unstarted = state["Status"] == "created" and bool(state.get("Error"))
    exited = unstarted or state["Status"] in ("exited", "dead")
    code = 128 if unstarted else int(state["ExitCode"])
    reason = "OOMKilled" if state.get("OOMKilled") else "Completed" if code == 0 else "Error"
    if exited and state.get("Error"):
        reason = "StartError"
    created, started = parse_timestamp(found["Created"]), _time(state["StartedAt"])
    finished = created if unstarted else _time(state["FinishedAt"])
    return ContainerStatus(
        found["Id"], labels["io.kubernetes.container.name"], _pod(labels), labels["kubelab.image"], found["Image"],
        "exited" if exited else "created" if state["Status"] == "created" else "running",
        attempt=int(labels["kubelab.attempt"]), exit_code=code, reason=reason if exited else "",
        message=state.get("Error", ""), created_at=created,
        started_at=started, pid=int(state.get("Pid") or 0),
        finished_at=max(started, finished) if exited else finished)  # the engine's clocks differ by a little


def _time(text: str) -> float:
    return 0.0 if text == NEVER else parse_timestamp(text)
