from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kubelab.machinery.clock import SteppedClock
from kubelab.node.kubelet.context import Waiting, go_duration
from kubelab.node.kubelet.images import Images, pull_policy, should_pull
from kubelab.node.runtime.protocol import ImageError

from .scenes import container, pod


class Registry:
    def __init__(self) -> None:
        self.present, self.error, self.pulls = False, "", 0

    async def image_present(self, image: str) -> bool:
        return self.present

    async def pull_image(self, image: str) -> str:
        self.pulls += 1
        if self.error:
            raise ImageError("ErrImagePull", self.error)
        return "sha256:1"


class Node:
    def __init__(self) -> None:
        self.runtime, self.clock, self.events = Registry(), SteppedClock(), list[tuple[str, str]]()
        context: Any = SimpleNamespace(runtime=self.runtime, clock=self.clock, trace=lambda *a: None,
                                       record=lambda pod, c, type_, reason, message: self.events.append(
                                           (reason, message)))
        self.images = Images(context)

    async def ensure(self, image: str = "nginx:1", **more: Any) -> Waiting | None:
        try:
            await self.images.ensure(pod(), container("c", image, **more))
        except Waiting as waiting:
            return waiting
        return None


@pytest.mark.parametrize(("policy", "present", "pull"), [
    ("Always", True, True), ("Always", False, True), ("IfNotPresent", True, False), ("IfNotPresent", False, True),
    ("Never", True, False), ("Never", False, False)])
def test_the_policy_decides_about_pulling(policy: str, present: bool, pull: bool) -> None:
    """Always pulls, IfNotPresent when it is missing, Never not at all."""
    assert should_pull(policy, present) is pull


@pytest.mark.parametrize(("image", "policy"), [
    ("nginx", "Always"), ("nginx:latest", "Always"), ("nginx:1.27", "IfNotPresent"), ("host:5000/nginx", "Always")])
def test_the_default_policy_comes_from_the_tag(image: str, policy: str) -> None:
    """Without a tag, or with :latest, an image is pulled every time."""
    assert pull_policy({"image": image}) == policy


async def test_a_present_image_is_not_pulled() -> None:
    """The event is worded as in 1.36."""
    node = Node()
    node.runtime.present = True
    assert await node.ensure() is None
    assert node.events == [("Pulled", 'Container image "nginx:1" already present on machine and can be accessed by the '
                                      'pod')]


async def test_a_failing_pull_backs_off() -> None:
    """ErrImagePull first, then ImagePullBackOff until 10 s are over, then another try."""
    node = Node()
    node.runtime.error = "no such image"
    first = await node.ensure()
    assert first is not None and (first.reason, first.message) == ("ErrImagePull", "no such image")
    second = await node.ensure()
    assert second is not None and second.reason == "ImagePullBackOff"
    assert second.message == 'Back-off pulling image "nginx:1": ErrImagePull: no such image'
    assert node.runtime.pulls == 1
    node.clock.jump(10)
    node.runtime.error = ""
    assert await node.ensure() is None
    assert [reason for reason, _ in node.events] == ["Pulling", "Failed", "BackOff", "Pulling", "Pulled"]


async def test_never_and_nonsense() -> None:
    """A missing image under Never, and a name that is none, have reasons of their own."""
    node = Node()
    never = await node.ensure(imagePullPolicy="Never")
    assert never is not None and never.reason == "ErrImageNeverPull"
    odd = await node.ensure("NGINX:::")
    assert odd is not None and odd.reason == "InvalidImageName"


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3600, "1h0m0s")])
def test_durations_as_go_writes_them(seconds: int, text: str) -> None:
    """Back-off messages use Go's form."""
    assert go_duration(seconds) == text
