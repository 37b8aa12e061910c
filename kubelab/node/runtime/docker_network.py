"""The one bridge network on which all pods of a Docker cluster meet, and the Service addresses inside it.

    10.B.0.0/16  bridge "kubelab-<cluster id>"
       10.B.0.0/17    pods, handed out by Docker
       10.B.128.0/17  local to the host by one route, so that it can listen on each of them, and a container reaches
                      them as neighbours on its own network:
                      10.B.128.0/18 Services, 10.B.192.0/18 nodes (kubelet, NodePorts, host ports)

Invariant: everything made here carries the label kubelab.cluster, by which `remove` and `sweep` find it again.
Models:    the pod network and the Service CIDR of a cluster, with Docker's bridge as network plug-in
Left out:  one network per node: pods of all nodes share the bridge
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import DockerClient

LABEL = "kubelab.cluster"
INFRA_IMAGE = "kubelab/infra:1"
BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")


class DockerUnavailable(RuntimeError):
    """There is no Docker engine for us; the message says what to do."""


def connect() -> DockerClient:
    """Return a client of the Docker engine that the environment names.

    Raises: DockerUnavailable saying how to get one.
    """
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=120, max_pool_size=64)
        client.ping()
    except DockerException as error:
        raise DockerUnavailable(
            f'runtime="docker" needs a Docker engine, and none answers ({error}). Start it (sudo systemctl start '
            "docker; on Debian first: sudo apt install docker.io), be in the group docker, or use "
            'runtime="process", which needs none') from error
    return client


class DockerNetwork:
    """The pod network of one cluster. All calls block: run them in a thread."""

    def __init__(self, client: DockerClient, cluster_id: str, block: int) -> None:
        self._client, self._cluster_id = client, cluster_id
        self.name = f"kubelab-{cluster_id}"
        self.block = block  # the B of 10.B.0.0/16

    @property
    def service_cidr(self) -> str:
        return f"10.{self.block}.128.0/18"

    def node_ip(self, index: int) -> str:
        """Return the address of node number `index`, 0 to 9999."""
        return f"10.{self.block}.{192 + (10 + index) // 256}.{(10 + index) % 256}"

    @property
    def api_service_ip(self) -> str:
        return f"10.{self.block}.128.1"

    @property
    def dns_ip(self) -> str:
        return f"10.{self.block}.128.10"

    def create(self) -> None:
        """Make the infra image, the bridge network and the route to the Service addresses.

        Raises: DockerUnavailable when no image for the pause container can be had.
        """
        from docker.errors import APIError
        from docker.types import IPAMConfig, IPAMPool

        ensure_infra_image(self._client)
        for block in (self.block, *(b for b in range(64, 128) if b != self.block)):
            pool = IPAMPool(subnet=f"10.{block}.0.0/16", iprange=f"10.{block}.0.0/17", gateway=f"10.{block}.0.1")
            try:
                self._client.networks.create(self.name, driver="bridge", ipam=IPAMConfig(pool_configs=[pool]),
                                             labels={LABEL: self._cluster_id},
                                             options={"com.docker.network.bridge.name": f"kl-{self._cluster_id}"[:15]})
            except APIError as error:
                if "overlaps" in str(error):
                    continue
                raise
            self.block = block
            break
        else:
            raise DockerUnavailable("no free network between 10.64.0.0/16 and 10.127.0.0/16: docker network prune")
        self._route("add")

    def remove(self) -> None:
        """Take the route and the network away again."""
        from docker.errors import NotFound

        self._route("del")
        try:
            self._client.networks.get(self.name).remove()
        except NotFound:
            return

    def _route(self, verb: str) -> None:
        """Make the Service addresses local to the host: a container on the host's network may, whoever we are."""
        change_route(self._client, self._cluster_id, verb, f"10.{self.block}.128.0/17")


def change_route(client: Any, cluster_id: str, verb: str, cidr: str) -> None:
    """Add or delete the `local` route for `cidr` on the engine's host."""
    script = ["/bin/busybox", "ip", "route", verb, "local", cidr, "dev", "lo"]
    from docker.errors import ContainerError

    try:
        client.containers.run(INFRA_IMAGE, script, network_mode="host", cap_add=["NET_ADMIN"], remove=True,
                              labels={LABEL: cluster_id}, user="0", entrypoint=[])
    except ContainerError as error:
        if "File exists" not in str(error) and "No such process" not in str(error):
            raise


def ensure_infra_image(client: Any) -> None:
    """Have the small image of the pause container: from a static busybox on this machine, else from Docker Hub."""
    from docker.errors import DockerException, ImageNotFound

    try:
        client.images.get(INFRA_IMAGE)
        return
    except ImageNotFound:
        pass
    static = next((Path(p) for p in BUSYBOX if Path(p).exists() and _is_static(Path(p))), None)
    if static is not None:
        repository, _, tag = INFRA_IMAGE.partition(":")
        client.api.import_image_from_data(_busybox_tar(static), repository=repository, tag=tag)
        return
    try:
        client.images.pull("busybox", tag="latest").tag(*INFRA_IMAGE.split(":"))
    except DockerException as error:
        raise DockerUnavailable(
            "the pause container needs an image, and neither Docker Hub's busybox could be pulled nor is a static "
            f"busybox on this machine; sudo apt install busybox-static ({error})") from error


def _is_static(program: Path) -> bool:
    """Return whether an ELF program names no interpreter, so that it runs in an empty file system."""
    return b"ld-linux" not in program.read_bytes()[:8192] and b"ld-musl" not in program.read_bytes()[:8192]


def _busybox_tar(program: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "proc", "sys", "dev"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        data = program.read_bytes()
        info = tarfile.TarInfo("bin/busybox")
        info.size, info.mode = len(data), 0o755
        tar.addfile(info, io.BytesIO(data))
        for applet in ("sh", "sleep", "ip"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return out.getvalue()


def sweep(cluster_id: str) -> None:
    """Remove every container, network and route that a dead cluster left in the engine."""
    client = connect()
    try:
        chosen: Any = {"label": f"{LABEL}={cluster_id}"}
        for container in client.containers.list(all=True, filters=chosen):
            container.remove(force=True, v=True)
        for network in client.networks.list(filters=chosen):
            subnet = network.attrs["IPAM"]["Config"][0]["Subnet"]
            change_route(client, cluster_id, "del", f"10.{subnet.split('.')[1]}.128.0/17")
            network.remove()
    finally:
        client.close()
