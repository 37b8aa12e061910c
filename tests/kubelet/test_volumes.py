from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.host_path import check_host_path
from kubelab.node.kubelet.payload import VolumeError
from kubelab.node.runtime.hollow import HollowRuntime
from kubelab.node.runtime.protocol import ContainerConfig

from .conftest import World, ready, state


class WithFiles(HollowRuntime):
    """A hollow runtime that is given volumes, and remembers what it was asked to run."""

    needs_files = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[ContainerConfig] = []

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        self.asked.append(config)
        return await super().create_container(sandbox_id, config)

    def at(self, path: str) -> Path:
        """Return what the newest container sees at `path`."""
        mount = next(m for m in self.asked[-1].mounts if path.startswith(m.container_path))
        return Path(mount.host_path + path[len(mount.container_path):])


@pytest.fixture
async def files(world: World) -> World:
    await world.kubelet.close()
    world.runtime = WithFiles("node-1", world.clock)
    world.kubelet = world.make_kubelet()
    await world.kubelet.start()
    await world.admin.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1", "b": "2"},
                                            "metadata": {"name": "cfg", "namespace": "default"}})
    return world


def mounting(volume: Obj, **mount: Any) -> Obj:
    """Return the parts of a pod spec that mount one volume at /v."""
    return {"volumes": [{"name": "v", **volume}],
            "containers": [{"name": "c", "image": "nginx:1",
                            "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}]}


async def test_a_config_map_becomes_files_and_follows_its_changes(files: World) -> None:
    """Keys are files, and a change arrives while the container runs."""
    await files.run("web", **mounting({"configMap": {"name": "cfg"}}))
    await files.until("web", ready)
    assert files.runtime.at("/v/a").read_text() == "1"
    assert files.runtime.asked[-1].mounts[0].read_only
    await files.admin.patch("configmaps", "cfg", {"data": {"a": "new"}}, "default")
    async with asyncio.timeout(5):
        await _changed(files.runtime.at("/v/a"), "1")
    assert files.runtime.at("/v/a").read_text() == "new"


async def _changed(path: Path, before: str) -> None:
    while path.read_text() == before:  # noqa: ASYNC110  # a file has nobody to wake us
        await asyncio.sleep(0.005)


async def test_the_service_account_is_projected(files: World) -> None:
    """Every pod gets its token, the cluster's CA and its namespace, unless it does not want them."""
    await files.admin.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": "PEM"},
                                            "metadata": {"name": "kube-root-ca.crt", "namespace": "default"}})
    sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
               {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
               {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]
    posted: list[tuple[str, Any]] = []

    async def token(method: str, path: str, *, body: Any = None, **_: Any) -> Obj:
        posted.append((path, body))
        return {"status": {"token": "secret", "expirationTimestamp": "2026-01-02T04:04:05Z"}}

    files.node_client.raw = token  # type: ignore[method-assign]
    await files.run("web", **mounting({"projected": {"sources": sources}}))
    await files.until("web", ready)
    got = {n: files.runtime.at(f"/v/{n}").read_text() for n in ("token", "ca.crt", "namespace")}
    assert got == {"token": "secret", "ca.crt": "PEM", "namespace": "default"}
    path, body = posted[0]
    assert path == "/api/v1/namespaces/default/serviceaccounts/default/token"
    assert body["spec"]["boundObjectRef"]["name"] == "web"


async def test_what_is_missing_keeps_the_pod_creating_until_it_comes(files: World) -> None:
    """FailedMount names the object; once it is there the pod goes on by itself."""
    await files.run("web", **mounting({"secret": {"secretName": "later"}}))
    async with asyncio.timeout(5):
        while not await files.events("web"):  # noqa: ASYNC110  # events are written in the background
            await asyncio.sleep(0.005)
    assert (await files.events("web"))[0] == (
        "FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "later" not found')
    assert state(await files.pod("web")) == {"waiting": {"reason": "ContainerCreating"}}
    await files.admin.create("secrets", {"apiVersion": "v1", "kind": "Secret", "data": {"k": "aHVzaA=="},
                                         "metadata": {"name": "later", "namespace": "default"}})
    await files.until("web", ready)
    assert files.runtime.at("/v/k").read_text() == "hush"


@pytest.mark.parametrize(("volume", "message"), [
    ({"configMap": {"name": "cfg", "items": [{"key": "no", "path": "x"}]}},
     "configmap references non-existent config key: no"),
    ({"persistentVolumeClaim": {"claimName": "x"}}, "no volume plugin matched"),
    ({"hostPath": {"path": "/nowhere/at/all", "type": "Directory"}}, "hostPath type check failed")])
async def test_a_volume_that_cannot_be_made_says_why(files: World, volume: Obj, message: str) -> None:
    """The Event holds the kubelet's words."""
    await files.run("web", **mounting(volume))
    async with asyncio.timeout(5):
        while not await files.events("web"):  # noqa: ASYNC110  # events are written in the background
            await asyncio.sleep(0.005)
    assert message in (await files.events("web"))[0][1]


async def test_an_empty_dir_is_shared_and_goes_with_the_pod(files: World) -> None:
    """Both containers see one folder; nothing of it stays on the disk."""
    spec = mounting({"emptyDir": {}})
    spec["containers"].append({**spec["containers"][0], "name": "d"})
    await files.run("web", **spec)
    await files.until("web", ready)
    first, second = (c.mounts[0].host_path for c in files.runtime.asked)
    assert first == second
    await files.admin.delete("pods", "web", "default")
    await files.until_gone("web")
    assert not list((files.root / "pods").iterdir())


async def test_sub_paths_stand_inside_their_volume(files: World) -> None:
    """subPath shows one key or folder; subPathExpr may name the pod."""
    await files.run("web", **mounting({"configMap": {"name": "cfg"}}, subPath="b"))
    await files.until("web", ready)
    assert files.runtime.at("/v").read_text() == "2"
    spec = mounting({"emptyDir": {}}, subPathExpr="$(NAME)")
    spec["containers"][0]["env"] = [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    await files.run("expr", **spec)
    await files.until("expr", ready)
    assert files.runtime.at("/v").name == "expr"


async def test_last_words_are_read_from_their_file(files: World) -> None:
    """What a container writes to its termination log stands in its status."""
    await files.run("job", annotations={"hollow.kubelab.io/run-for-s": "5", "hollow.kubelab.io/exit-code": "1"},
                    restartPolicy="Never")
    await files.until("job", ready)
    files.runtime.at("/dev/termination-log").write_text("no disk left")
    await files.clock.step(5.1)
    pod = await files.until("job", lambda p: p["status"]["phase"] == "Failed")
    assert state(pod)["terminated"]["message"] == "no disk left"


def test_host_paths_are_checked_and_kept_off_our_own_state(tmp_path: Path) -> None:
    """The type must fit, OrCreate creates, and the kubelet's own folder is nobody's volume."""
    check_host_path({"path": str(tmp_path / "new"), "type": "DirectoryOrCreate"}, Path("/var/lib/x"))
    assert (tmp_path / "new").is_dir()
    with pytest.raises(VolumeError, match="is not a file"):
        check_host_path({"path": str(tmp_path), "type": "File"}, Path("/var/lib/x"))
    with pytest.raises(VolumeError, match="own state"):
        check_host_path({"path": str(tmp_path / "pods")}, tmp_path)
