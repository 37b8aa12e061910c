"""Images of a Docker engine: is it there, get it, whom does it run as. All calls block: run them in a thread.

Models:    the image service of CRI, as cri-dockerd gives it
Left out:  pull secrets: the engine has its own (docker login)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubelab.node.runtime.protocol import ImageError

if TYPE_CHECKING:
    from docker import DockerClient


def image_id(client: DockerClient, image: str) -> str | None:
    """Return the id of an image that the engine has, else None."""
    from docker.errors import ImageNotFound

    try:
        return str(client.images.get(image).id)
    except ImageNotFound:
        return None


def pull(client: DockerClient, image: str) -> str:
    """Have the engine pull it; return its id. Raises ImageError."""
    from docker.errors import APIError, DockerException
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(image)
    try:
        client.api.pull(repository, tag or "latest")
    except APIError as error:
        if "invalid reference format" in str(error):
            raise ImageError("InvalidImageName", f'Failed to apply default image tag "{image}": couldn\'t parse '
                             f'image name "{image}": invalid reference format') from error
        raise ImageError("ErrImagePull", _why_not(image, str(error.explanation))) from error
    except DockerException as error:
        raise ImageError("ErrImagePull", _why_not(image, str(error))) from error
    found = image_id(client, image)
    if found is None:
        raise ImageError("ErrImagePull", _why_not(image, "the engine pulled it, yet does not have it"))
    return found


def user(client: DockerClient, image: str) -> str:
    """Return the USER of an image, "" for none."""
    return str(client.images.get(image).attrs["Config"].get("User") or "")


def _why_not(image: str, why: str) -> str:
    return (f'failed to pull and unpack image "{image}": {why}. Is the name right, and can this machine reach its '
            "registry? An image that `docker images` lists needs no pull with imagePullPolicy: IfNotPresent.")
