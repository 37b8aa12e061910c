"""ConfigMaps and Secrets that pods of this node use: one watch for each object, for as long as a pod uses it.

    volume of a pod ─► watch(uid, kind, ns, name) ─► informer on metadata.name ─► on_change(uid)

Invariant: an object is watched if and only if a pod on this node mounts it.
Models:    pkg/kubelet/util/manager (watch based manager)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj

Key = tuple[str, str, str]  # plural, namespace, name


class ObjectSources:
    """Reads objects by name, and tells which pods to look at when one of theirs changes."""

    def __init__(self, client: Client, on_change: Callable[[str], None]) -> None:
        self.client, self.on_change = client, on_change
        self._informers: dict[Key, Informer] = {}
        self._users: dict[Key, set[str]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        """Return the object as it is now, None when there is none."""
        informer = self._informers.get((kind, namespace, name))
        if informer is not None and informer.synced:
            return informer.get(f"{namespace}/{name}")
        try:
            return await self.client.get(kind, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def watch(self, uid: str, kind: str, namespace: str, name: str) -> None:
        """Follow the object for the pod `uid`; returns once its state is known."""
        key = (kind, namespace, name)
        self._users.setdefault(key, set()).add(uid)
        informer = self._informers.get(key)
        if informer is None:
            informer = self._informers[key] = Informer(self.client, kind, namespace=namespace,
                                                       field_selector=f"metadata.name={name}")
            await informer.start()
            await informer.wait_synced()
            informer.on_event(lambda type_, obj, old: self._changed(key, obj, old))
        else:
            await informer.wait_synced()

    def _changed(self, key: Key, obj: Obj, old: Obj | None) -> None:
        for uid in tuple(self._users.get(key, ())):
            self.on_change(uid)

    def release(self, uid: str) -> None:
        """The pod is gone: stop following what only it used."""
        for key in [k for k, users in self._users.items() if uid in users]:
            self._users[key].discard(uid)
            if not self._users[key]:
                del self._users[key]
                informer = self._informers.pop(key, None)
                if informer is not None:
                    task = asyncio.get_running_loop().create_task(informer.stop())
                    self._ending.add(task)
                    task.add_done_callback(self._ending.discard)

    async def stop(self) -> None:
        informers = list(self._informers.values())
        self._informers.clear()
        self._users.clear()
        await asyncio.gather(*(i.stop() for i in informers), *self._ending)
