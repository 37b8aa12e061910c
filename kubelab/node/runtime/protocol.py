"""The seam between kubelet and containers: a Python protocol in the shape of CRI.

    kubelet ─► run_pod_sandbox ─► pull_image ─► create_container ─► start_container
            ◄─ events() ◄───────── a container exited, was created, ... (no polling)

Invariant: ids are strings of the runtime's own; every call is idempotent where CRI's is (stop, remove).
Models:    the Container Runtime Interface, runtime.v1
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PodRef:
    """Which pod a sandbox or container belongs to."""

    namespace: str
    name: str
    uid: str
    node: str


@dataclass(frozen=True, slots=True)
class PortMapping:
    container_port: int
    host_port: int = 0
    host_ip: str = ""
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    pod: PodRef
    hostname: str
    dns_server: str  # IP of the cluster DNS, "" for none
    dns_searches: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[PortMapping, ...] = ()
    host_network: bool = False
    dns_options: tuple[str, ...] = ("ndots:5",)
    domain: str = ""  # what follows the hostname in the pod's full name: subdomain.namespace.svc.cluster.local
    host_aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()  # address, names: further lines of /etc/hosts


@dataclass(frozen=True, slots=True)
class Sandbox:
    id: str
    pod: PodRef
    ip: str
    ready: bool = True


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the host that stands at `container_path` in the container."""

    host_path: str
    container_path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    name: str
    image: str
    attempt: int  # how often this container of this pod was started before
    command: tuple[str, ...] = ()  # Pod's `command`: replaces the image's entry point when not empty
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    ports: tuple[int, ...] = ()
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    cpu_limit_millicpu: int = 0  # 0: none
    cpu_request_millicpu: int = 0
    memory_limit_bytes: int = 0  # 0: none
    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] = ()  # supplementary
    read_only_root: bool = False
    privileged: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    pids: str = ""  # whose processes it sees: "" its own, "pod" or "node"
    simulation: Mapping[str, str] = field(default_factory=dict)  # pod annotations "hollow.kubelab.io/…" for hollow


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    id: str
    name: str
    pod: PodRef
    image: str
    image_id: str
    state: str  # "created" | "running" | "exited"
    attempt: int = 0
    exit_code: int = 0
    signal: int = 0
    reason: str = ""  # "Completed" | "Error" | "OOMKilled" | "StartError"
    message: str = ""
    created_at: float = 0.0  # Unix seconds
    started_at: float = 0.0
    finished_at: float = 0.0
    pid: int = 0


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something happened to a container or sandbox of this pod: look again."""

    pod: PodRef
    container_id: str
    kind: str  # "started" | "exited" | "removed" | "sandbox"


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_seconds: float
    memory_bytes: int


class ImageError(Exception):
    """The image cannot be had. `reason` is ErrImagePull, InvalidImageName, ErrImageNeverPull or ImagePullBackOff."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class RuntimeFailure(Exception):
    """The runtime could not do it. `reason` as the kubelet words it: RunContainerError, CreateContainerError, ..."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class Streams(Protocol):
    """The open ends of a process: of `exec`, of `attach`."""

    async def write_stdin(self, data: bytes) -> None: ...
    async def close_stdin(self) -> None: ...
    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (1, bytes) from standard output and (2, bytes) from standard error until both end."""
        ...

    async def resize(self, width: int, height: int) -> None: ...
    async def wait(self) -> int:
        """Return the exit code."""
        ...

    async def close(self) -> None:
        """Let go of the process; one that `exec` started is killed."""
        ...


class Connection(Protocol):
    """A byte stream to a port inside the pod."""

    async def read(self, limit: int = 65536) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    async def close_write(self) -> None: ...
    async def close(self) -> None: ...


class Runtime(Protocol):
    """What a kubelet needs of a container runtime."""

    name: str  # "process" | "docker" | "hollow"
    version: str

    async def start(self) -> None: ...
    async def stop(self) -> None:
        """Stop and remove every container and sandbox of this node; nothing stays behind."""
        ...

    async def run_pod_sandbox(self, config: SandboxConfig) -> Sandbox: ...
    async def stop_pod_sandbox(self, sandbox_id: str) -> None: ...
    async def remove_pod_sandbox(self, sandbox_id: str) -> None: ...
    async def list_sandboxes(self) -> Sequence[Sandbox]: ...

    async def image_present(self, image: str) -> bool: ...
    async def pull_image(self, image: str) -> str:
        """Return the image id. Raises ImageError."""
        ...

    async def image_user(self, image: str) -> str:
        """Return the user that the image runs as when nothing else is asked for; "" is root."""
        ...

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str: ...
    async def start_container(self, container_id: str) -> None: ...
    async def stop_container(self, container_id: str, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after `grace_s`; return when it has ended."""
        ...

    async def remove_container(self, container_id: str) -> None: ...
    async def list_containers(self) -> Sequence[ContainerStatus]: ...
    async def container_status(self, container_id: str) -> ContainerStatus | None: ...
    def events(self) -> AsyncIterator[RuntimeEvent]: ...

    async def exec(self, container_id: str, command: Sequence[str], *, tty: bool = False,
                   stdin: bool = False) -> Streams: ...
    async def attach(self, container_id: str) -> Streams: ...
    def logs(self, container_id: str, *, follow: bool = False, tail_lines: int | None = None,
             since_s: float | None = None, timestamps: bool = False,
             limit_bytes: int | None = None) -> AsyncIterator[bytes]: ...
    async def port_forward(self, sandbox_id: str, port: int) -> Connection: ...
    async def stats(self, container_id: str) -> Usage: ...
