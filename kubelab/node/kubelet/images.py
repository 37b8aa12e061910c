"""Makes sure that a container's image is there, by its pull policy, with back-off.

    present? ─► should_pull(policy) ─► no: Pulled "already present" │ Never: ErrImageNeverPull
                                       yes: Pulling ─► Pulled │ ErrImagePull ─► ImagePullBackOff

Invariant: images are pulled one at a time, as kubelets do by default.
Models:    pkg/kubelet/images/image_manager.go
Left out:  pull secrets are the runtime's business
"""

from __future__ import annotations

import asyncio
import re

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.backoff import Backoff
from kubelab.node.kubelet.context import Context, Waiting, go_duration
from kubelab.node.runtime.protocol import ImageError

_REFERENCE = re.compile(r"^(?:[\w.-]+(?::\d+)?/)?[a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*(?::[\w][\w.-]{0,127})?"
                        r"(?:@[a-z0-9]+:[0-9a-fA-F]{32,})?$")


def should_pull(policy: str, present: bool) -> bool:
    """Tell whether the image has to be fetched."""
    return policy == "Always" or (policy != "Never" and not present)


def pull_policy(container: Obj) -> str:
    """Return the container's policy; without one, an untagged or :latest image is always pulled."""
    policy: str | None = container.get("imagePullPolicy")
    if policy:
        return policy
    tail = container["image"].rsplit("/", 1)[-1]
    return "Always" if ":" not in tail or tail.endswith(":latest") else "IfNotPresent"


class Images:
    """The image puller of one kubelet."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.backoff = Backoff()
        self._one_at_a_time = asyncio.Lock()
        self._last_error: dict[str, str] = {}

    async def ensure(self, pod: Obj, container: Obj) -> None:
        """Have the image on the node. Raises Waiting with the reason that the container's state shows."""
        image = container["image"]
        if not _REFERENCE.match(image):
            message = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": ' \
                      "invalid reference format"
            self.context.record(pod, container, "Warning", "InspectFailed", message)
            raise Waiting("InvalidImageName", message)
        present = await self.context.runtime.image_present(image)
        policy = pull_policy(container)
        if should_pull(policy, present):
            await self._pull(pod, container)
            return
        if present:
            self.context.record(pod, container, "Normal", "Pulled", f'Container image "{image}" already present on '
                                                                    "machine and can be accessed by the pod")
            return
        message = f'Container image "{image}" is not present with pull policy of Never'
        self.context.record(pod, container, "Warning", "ErrImageNeverPull", message)
        raise Waiting("ErrImageNeverPull", message)

    async def _pull(self, pod: Obj, container: Obj) -> None:
        image, clock = container["image"], self.context.clock
        key = f"{pod['metadata']['uid']}_{image}"
        wait_s = self.backoff.remaining_s(key, self.backoff.updated(key), clock.now())
        if wait_s > 0:
            self.context.record(pod, container, "Normal", "BackOff", f'Back-off pulling image "{image}"')
            message = f'Back-off pulling image "{image}": ErrImagePull: {self._last_error.get(key, "")}'
            raise Waiting("ImagePullBackOff", message, wait_s)
        self.context.record(pod, container, "Normal", "Pulling", f'Pulling image "{image}"')
        asked = clock.monotonic()
        async with self._one_at_a_time:
            began = clock.monotonic()
            try:
                await self.context.runtime.pull_image(image)
            except ImageError as error:
                self.context.record(pod, container, "Warning", "Failed",
                                    f'Failed to pull image "{image}": {error.message}')
                self.backoff.next(key, clock.now())
                self._last_error[key] = error.message
                reason = "ErrImagePull" if error.reason == "ImagePullBackOff" else error.reason
                # the state stays ErrImagePull until the next look, which finds the back-off
                raise Waiting(reason, error.message, min(1.0, self.backoff.delay_s(key))) from error
        took, total = (_duration(clock.monotonic() - t) for t in (began, asked))
        self._last_error.pop(key, None)
        self.context.trace("pull", pod, container["name"], image)
        self.context.record(pod, container, "Normal", "Pulled",
                            f'Successfully pulled image "{image}" in {took} ({total} including waiting)')

    def forget(self, uid: str) -> None:
        self.backoff.forget(uid)
        for key in [k for k in self._last_error if k.startswith(uid)]:
            del self._last_error[key]


def _duration(seconds: float) -> str:
    if seconds >= 60:
        return go_duration(seconds)
    return f"{seconds:.3g}s" if seconds >= 1 else f"{round(seconds * 1000)}ms"
