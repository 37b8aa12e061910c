"""What goes into configMap, secret, downwardAPI and projected volumes: from API objects to files.

Invariant: a missing object, or a key that `items` names, raises VolumeError unless it is optional.
Models:    pkg/volume/{configmap,secret,downwardapi,projected}
Left out:  clusterTrustBundle, podCertificate
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.atomic_writer import FileEntry
from kubelab.node.kubelet.fields import Downward, FieldError

Files = dict[str, FileEntry]
Fetch = Callable[[str, str], Awaitable[Obj | None]]  # (plural, name) -> object of the pod's namespace
Token = Callable[[Obj], Awaitable[str]]  # serviceAccountToken source -> token


class VolumeError(Exception):
    """The volume cannot be set up; the text says why."""


class PayloadBuilder:
    """Collects the files of one pod's volumes."""

    def __init__(self, downward: Downward, fetch: Fetch, token: Token) -> None:
        self.downward, self.fetch, self.token = downward, fetch, token

    async def build(self, volume: Obj) -> Files | None:
        """Return the files of a volume, None when it is of a kind that has no files of ours."""
        if "configMap" in volume:
            source = volume["configMap"]
            return await self._object("configmaps", source.get("name", ""), source, _mode(source))
        if "secret" in volume:
            source = volume["secret"]
            return await self._object("secrets", source.get("secretName", ""), source, _mode(source))
        if "downwardAPI" in volume:
            return self._downward(volume["downwardAPI"], _mode(volume["downwardAPI"]))
        if "projected" in volume:
            files: Files = {}
            for source in volume["projected"].get("sources") or ():
                files |= await self._projection(source, _mode(volume["projected"]))
            return files
        return None

    async def _projection(self, source: Obj, mode: int) -> Files:
        if "configMap" in source:
            return await self._object("configmaps", source["configMap"].get("name", ""), source["configMap"], mode)
        if "secret" in source:
            return await self._object("secrets", source["secret"].get("name", ""), source["secret"], mode)
        if "downwardAPI" in source:
            return self._downward(source["downwardAPI"], mode)
        if "serviceAccountToken" in source:
            token = source["serviceAccountToken"]
            # a container that runs as another user must still be able to read its own token
            return {token["path"]: FileEntry((await self.token(token)).encode(), mode)}
        return {}

    async def _object(self, kind: str, name: str, source: Obj, mode: int) -> Files:
        found = await self.fetch(kind, name)
        optional = bool(source.get("optional"))
        if found is None:
            if optional:
                return {}
            raise VolumeError(f'{kind[:-1]} "{name}" not found')
        data = _contents(kind, found)
        items = source.get("items")
        if not items:
            return {key: FileEntry(content, mode) for key, content in data.items()}
        files: Files = {}
        for item in items:
            content = data.get(item["key"])
            if content is not None:
                files[item["path"]] = FileEntry(content, item.get("mode", mode))
            elif not optional:
                noun = "secret" if kind == "secrets" else "config"
                lead = "" if kind == "secrets" else "configmap "
                raise VolumeError(f"{lead}references non-existent {noun} key: {item['key']}")
        return files

    def _downward(self, source: Obj, mode: int) -> Files:
        files: Files = {}
        for item in source.get("items") or ():
            try:
                if "fieldRef" in item:
                    text = self.downward.field(item["fieldRef"]["fieldPath"])
                else:
                    text = self.downward.resource(item["resourceFieldRef"])
            except FieldError as error:
                raise VolumeError(str(error)) from error
            files[item["path"]] = FileEntry(text.encode(), item.get("mode", mode))
        return files


def _mode(source: Obj) -> int:
    return int(source.get("defaultMode", 0o644))


def _contents(kind: str, found: Obj) -> dict[str, bytes]:
    if kind == "secrets":
        return {k: base64.b64decode(v) for k, v in (found.get("data") or {}).items()}
    plain = {k: v.encode() for k, v in (found.get("data") or {}).items()}
    return plain | {k: base64.b64decode(v) for k, v in (found.get("binaryData") or {}).items()}
