"""The volumes of pods: folders of this node that stand in containers.

    root_dir/pods/<uid>/volumes/<name>/              emptyDir, configMap, secret, downwardAPI, projected
    root_dir/pods/<uid>/containers/<name>/<attempt>  the termination message file

Invariant: no path that a manifest names leads out of its volume, and nothing outside root_dir/pods is ever removed.
Models:    pkg/kubelet/volumemanager, pkg/volume/*
Left out:  persistent volumes; an emptyDir's sizeLimit; medium Memory lies on disk as well
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from kubelab.machinery.clock import Handle
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.atomic_writer import PathError, give_to_group, write_payload
from kubelab.node.kubelet.context import Context
from kubelab.node.kubelet.environment import Environment
from kubelab.node.kubelet.expansion import expand
from kubelab.node.kubelet.host_path import check_host_path
from kubelab.node.kubelet.payload import Files, PayloadBuilder, VolumeError
from kubelab.node.kubelet.sources import ObjectSources
from kubelab.node.kubelet.sub_path import inside
from kubelab.node.kubelet.tokens import Tokens
from kubelab.node.runtime.protocol import Mount

__all__ = ["VolumeError", "Volumes"]
TERMINATION_LOG = "/dev/termination-log"


class Volumes:
    """All volumes of one kubelet."""

    def __init__(self, context: Context, sources: ObjectSources, environment: Environment) -> None:
        self.context, self.sources, self.environment = context, sources, environment
        self.tokens = Tokens(context)
        self._outdated: set[str] = set()
        self._timers: dict[str, Handle] = {}

    def pod_dir(self, uid: str) -> Path:
        return self.context.root_dir / "pods" / uid

    def volume_dir(self, uid: str, name: str) -> Path:
        return self.pod_dir(uid) / "volumes" / name

    def termination_log(self, uid: str, container: str, attempt: int) -> Path:
        """Return where the last words of one attempt stand."""
        return self.pod_dir(uid) / "containers" / container / str(attempt)

    def outdated(self, uid: str) -> None:
        """Something that this pod's volumes show has changed."""
        self._outdated.add(uid)

    def is_outdated(self, uid: str) -> bool:
        return uid in self._outdated

    # ── setting up ───────────────────────────────────────────────────────────────────────────────────────────

    async def prepare(self, pod: Obj) -> None:
        """Make every volume of the pod, or bring it up to date. Raises VolumeError."""
        uid, namespace = pod["metadata"]["uid"], pod["metadata"]["namespace"]
        self._outdated.discard(uid)
        volumes = pod["spec"].get("volumes") or ()
        for kind, name in references(pod):
            await self.sources.watch(uid, kind, namespace, name)
        status = pod.get("status", {})
        builder = PayloadBuilder(self.environment.downward(pod, status.get("podIP", "")),
                                 lambda kind, name: self.sources.get(kind, namespace, name),
                                 lambda source: self._token(pod, source))
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        for volume in volumes:
            try:
                files = await builder.build(volume)
                await asyncio.to_thread(self._make, uid, volume, files, group)
            except (VolumeError, PathError) as error:
                self._outdated.add(uid)
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error

    async def _token(self, pod: Obj, source: Obj) -> str:
        token, refresh_s = await self.tokens.get(pod, source)
        uid = pod["metadata"]["uid"]
        if uid not in self._timers:
            self._timers[uid] = self.context.clock.call_later(refresh_s, lambda: self._refresh(uid))
        return token

    def _refresh(self, uid: str) -> None:
        """A token comes of age: have the pod's worker write a new one."""
        self._timers.pop(uid, None)
        self.sources.on_change(uid)

    def _make(self, uid: str, volume: Obj, files: Files | None, group: int | None) -> None:
        """Write one volume. Blocks on the disk."""
        folder = self.volume_dir(uid, volume["name"])
        if files is not None:
            write_payload(folder, files, group)
        elif "hostPath" in volume:
            check_host_path(volume["hostPath"], self.context.root_dir)
        elif "emptyDir" in volume:
            if not folder.exists():
                folder.mkdir(parents=True)
                folder.chmod(0o777)
                if group is not None:
                    give_to_group(folder, group)
        else:
            kinds = ", ".join(k for k in volume if k != "name")
            raise VolumeError(f"no volume plugin matched: {kinds or 'no source'}; kubelab has emptyDir, configMap, "
                              "secret, downwardAPI, projected and hostPath")

    # ── mounting ─────────────────────────────────────────────────────────────────────────────────────────────

    def mounts(self, pod: Obj, container: Obj, env: Mapping[str, str], attempt: int) -> tuple[Mount, ...]:
        """Return what the container's file system shows of the pod's volumes. Raises VolumeError."""
        uid = pod["metadata"]["uid"]
        volumes = {v["name"]: v for v in pod["spec"].get("volumes") or ()}
        found = [Mount(str(self._source(uid, volumes[m["name"]], m, container, env)), m["mountPath"],
                       bool(m.get("readOnly")) or _always_read_only(volumes[m["name"]]))
                 for m in container.get("volumeMounts") or ()]
        path = container.get("terminationMessagePath", TERMINATION_LOG)
        if path:
            log = self.termination_log(uid, container["name"], attempt)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.touch()
            log.chmod(0o666)
            found.append(Mount(str(log), path))
        return tuple(found)

    def _source(self, uid: str, volume: Obj, mount: Obj, container: Obj, env: Mapping[str, str]) -> Path:
        base = Path(volume["hostPath"]["path"]) if "hostPath" in volume else self.volume_dir(uid, volume["name"])
        sub = mount.get("subPath") or expand(mount.get("subPathExpr") or "", env)
        if not sub:
            return base
        try:
            return inside(base, sub)
        except PathError as error:
            raise VolumeError(f'failed to prepare subPath for volumeMount "{mount["name"]}" of container '
                              f'"{container["name"]}": {error}') from error

    # ── end ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def remove(self, uid: str) -> None:
        """Remove everything of the pod from the disk; files of host paths stay."""
        timer = self._timers.pop(uid, None)
        if timer is not None:
            timer.cancel()
        self._outdated.discard(uid)
        self.tokens.forget(uid)
        await asyncio.to_thread(shutil.rmtree, self.pod_dir(uid), True)


def _always_read_only(volume: Obj) -> bool:
    return any(kind in volume for kind in ("configMap", "secret", "downwardAPI", "projected"))


def references(pod: Obj) -> Iterator[tuple[str, str]]:
    """Yield (plural, name) of every ConfigMap and Secret that the pod's volumes show."""
    for volume in pod["spec"].get("volumes") or ():
        if "configMap" in volume:
            yield "configmaps", volume["configMap"].get("name", "")
        if "secret" in volume:
            yield "secrets", volume["secret"].get("secretName", "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            for kind in ("configMap", "secret"):
                if kind in source:
                    yield f"{kind.lower()}s", source[kind].get("name", "")
