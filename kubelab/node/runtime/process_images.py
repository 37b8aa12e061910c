"""Which images the process runtime has: a name, its shipped program, and what the real image would set.

    "docker.io/library/nginx:1.27-alpine@sha256:…" ─► parse ─► Image("nginx", entrypoint, env, files, stop signal)

Invariant: nothing is downloaded; an image is known or it is an ErrImagePull that says what to do.
Models:    the image store of containerd
"""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from kubelab.node.runtime.protocol import ImageError

Trees = Mapping[str, Mapping[str, str]]  # folder in the container -> file in it -> its text

VERSION = r"\d{1,2}(\.\d{1,2}){0,2}"
FLAVOUR = r"(-(alpine|slim|perl|otel|bookworm|trixie|bullseye|musl|glibc|uclibc|unprivileged)[\w.-]*)?"
WORDS = r"latest|stable|mainline|alpine|slim|edge|musl|glibc|uclibc|bookworm|trixie"
TAGS = re.compile(rf"({WORDS}|v?{VERSION}){FLAVOUR}(-perl|-slim|-otel)?")
REFERENCE = re.compile(
    r"(?P<name>(?:(?P<host>(?:[a-zA-Z0-9-]+\.)+[a-zA-Z0-9-]+(?::\d+)?|[a-zA-Z0-9-]+:\d+|localhost)/)?"
    r"(?P<path>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*))"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Image:
    """What stands in for an image. An empty `entrypoint` means that `command` is the whole command line."""

    family: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    version_env: str = ""  # the variable in which the real image names its version
    default_version: str = ""
    trees: str = ""  # the module of `images` whose TREES the image brings
    working_dir: str = "/"
    stop_signal: int = signal.SIGTERM


_NGINX = Image("nginx", ("/docker-entrypoint.sh",), ("nginx", "-g", "daemon off;"), version_env="NGINX_VERSION",
               default_version="1.29.3", trees="nginx", stop_signal=signal.SIGQUIT)
_HTTPD = Image("httpd", (), ("httpd-foreground",), {"HTTPD_PREFIX": "/usr/local/apache2"}, "HTTPD_VERSION", "2.4.65",
               "httpd", "/usr/local/apache2", signal.SIGWINCH)
_SHELL = Image("busybox", (), ("sh",))
_PYTHON = Image("python", (), ("python3",), {"LANG": "C.UTF-8"})
_REDIS = Image("redis", (), ("redis-server",), version_env="REDIS_VERSION", default_version="8.2.2",
               working_dir="/data")
_WHOAMI = Image("whoami", ("whoami",))
_PAUSE = Image("pause", ("pause",))
_AGNHOST = Image("agnhost", ("agnhost",), ("pause",))

SHIPPED: Mapping[str, Image] = {
    "nginx": _NGINX,
    "httpd": _HTTPD,
    "busybox": _SHELL,
    "alpine": Image("alpine", (), ("/bin/sh",)),
    "python": _PYTHON,
    "redis": _REDIS,
    "traefik/whoami": _WHOAMI,
    "whoami": _WHOAMI,
    "pause": _PAUSE,
    "e2e-test-images/agnhost": _AGNHOST,
    "agnhost": _AGNHOST,
    "kubelab/echo": Image("echo", ("echo-server",)),
    "hashicorp/http-echo": Image("http-echo", ("http-echo",)),
    "google-samples/kubernetes-bootcamp": Image("kubernetes-bootcamp", (), ("bootcamp",)),
    "google-samples/hello-app": Image("hello-app", (), ("hello-app",)),
}
LISTED = "nginx, httpd, busybox, alpine, python, redis, traefik/whoami, pause, agnhost, hashicorp/http-echo, " \
         "kubelab/echo"
_HOSTS = {"", "docker.io", "index.docker.io", "registry.k8s.io", "k8s.gcr.io", "gcr.io", "ghcr.io", "quay.io",
          "mirror.gcr.io", "public.ecr.aws"}


@dataclass(frozen=True, slots=True)
class Reference:
    full: str  # docker.io/library/nginx:latest
    repository: str  # docker.io/library/nginx
    short: str  # nginx
    host: str
    tag: str


def parse(image: str) -> Reference:
    """Read an image name. Raises: ImageError InvalidImageName, in the kubelet's words."""
    match = REFERENCE.fullmatch(image)
    if match is None:
        why = "invalid reference format"
        if REFERENCE.fullmatch(image.lower()):
            why += ": repository name must be lowercase"
        raise ImageError("InvalidImageName",
                         f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {why}')
    host, path = (match["host"] or ""), match["path"]
    short = path.removeprefix("library/")
    domain = host or "docker.io"
    repository = f"{domain}/{path if '/' in path or domain != 'docker.io' else f'library/{path}'}"
    tag = match["tag"] or "latest"
    full = f"{repository}@{match['digest']}" if match["digest"] else f"{repository}:{tag}"
    return Reference(full, repository, short, host, tag)


def find(image: str) -> Image:
    """Return the shipped image of this name. Raises: ImageError ErrImagePull or InvalidImageName."""
    reference = parse(image)
    shipped = SHIPPED.get(reference.short) if reference.host in _HOSTS else None
    prefix = f'failed to pull and unpack image "{reference.full}"'
    if shipped is None:
        raise ImageError("ErrImagePull", f"{prefix}: the process runtime pulls nothing, it ships {LISTED}; use one of "
                                         'them, or start the cluster with runtime="docker"')
    if "@" not in reference.full and TAGS.fullmatch(reference.tag) is None:
        raise ImageError("ErrImagePull", f'{prefix}: failed to resolve reference "{reference.full}": {reference.full}: '
                                         "not found")
    return shipped


def image_id(image: str) -> str:
    """Return a stable id in the shape of the real ones: repository@sha256:..."""
    reference = parse(image)
    return f"{reference.repository}@sha256:{hashlib.sha256(reference.full.encode()).hexdigest()}"


def environment(image: Image, tag: str) -> dict[str, str]:
    """Return what the real image would set in the environment."""
    version = re.match(VERSION, tag.lstrip("v"))
    env = dict(image.env) | {"KUBELAB_IMAGE_TAG": tag}
    if image.version_env:
        env[image.version_env] = version[0] if version and "." in version[0] else image.default_version
    return env


def command_line(image: Image, command: tuple[str, ...], args: tuple[str, ...]) -> list[str]:
    """Combine the image's entry point and command with the container's `command` and `args`, as Kubernetes does."""
    entrypoint = command or image.entrypoint
    rest = args or (() if command else image.command)
    words = [*entrypoint, *rest]
    if words and words[0] == "/docker-entrypoint.sh":  # its work is done: the files are the image's already
        del words[0]
    return words


def trees(image: Image) -> Trees:
    """Return the folders that the image brings."""
    if not image.trees:
        return {}
    import importlib

    found: Trees = importlib.import_module(f"kubelab.node.runtime.images.{image.trees}").TREES
    return found
