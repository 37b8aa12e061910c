"""Image names: which are known, which are wrong, and what is said about the others."""

from __future__ import annotations

import pytest

from kubelab.node.runtime import process_images
from kubelab.node.runtime.protocol import ImageError


@pytest.mark.parametrize(("image", "family"), [
    ("nginx", "nginx"), ("nginx:1.27-alpine", "nginx"), ("docker.io/library/nginx:latest", "nginx"),
    ("nginx:1.14.2", "nginx"), ("python:3.12-slim-bookworm", "python"), ("redis:7", "redis"),
    ("registry.k8s.io/pause:3.10", "pause"), ("registry.k8s.io/e2e-test-images/agnhost:2.39", "agnhost"),
    ("busybox:1.28", "busybox"), ("traefik/whoami:v1.10", "whoami"),
    ("nginx@sha256:" + "a" * 64, "nginx"), ("gcr.io/google-samples/kubernetes-bootcamp:v1", "kubernetes-bootcamp"),
])
def test_known_images(image: str, family: str) -> None:
    """Registry, library, tag and digest do not hide which image is meant."""
    assert process_images.find(image).family == family


def test_an_unknown_image_says_what_to_do() -> None:
    """An image that is not shipped is ErrImagePull, with the way out in the message."""
    with pytest.raises(ImageError, match=r"it ships nginx, httpd.* start the cluster with runtime=.docker.") as caught:
        process_images.find("postgres:16")
    assert caught.value.reason == "ErrImagePull"


def test_a_tag_that_never_was_is_not_found() -> None:
    """The typing error of every rollout lesson fails as it does against a registry."""
    with pytest.raises(ImageError, match=r"docker\.io/library/nginx:1\.161: not found"):
        process_images.find("nginx:1.161")


@pytest.mark.parametrize("image", ["Nginx", "nginx:", "a b", "", "nginx@sha256:12", "/nginx"])
def test_a_malformed_name_is_invalid(image: str) -> None:
    """A name that is none is InvalidImageName, in the kubelet's words."""
    with pytest.raises(ImageError, match=r"couldn't parse image name .*: invalid reference format") as caught:
        process_images.find(image)
    assert caught.value.reason == "InvalidImageName"


def test_command_and_args_combine_as_in_kubernetes() -> None:
    """command replaces entry point and command of the image, args replace its command alone."""
    image = process_images.Image("x", ("entry",), ("default",))
    assert process_images.command_line(image, (), ()) == ["entry", "default"]
    assert process_images.command_line(image, (), ("a",)) == ["entry", "a"]
    assert process_images.command_line(image, ("c",), ()) == ["c"]
    assert process_images.command_line(image, ("c",), ("a",)) == ["c", "a"]
