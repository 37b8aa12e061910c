"""What the shim is told to start: command line, environment and files of one container.

    SandboxConfig + ContainerConfig + Image ─► container_spec ─► {"argv": …, "env": …, "mounts": …}
                                                    └─ no private mounts here? ─► in_folder: a folder stands in for "/"

Invariant: a pure description but for `in_folder`, which lays out the container's folder.
Models:    an OCI runtime bundle's config.json
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelab.machinery.ports import mapped
from kubelab.node.runtime import process_images
from kubelab.node.runtime.process_images import Image
from kubelab.node.runtime.protocol import ContainerConfig, RuntimeFailure, SandboxConfig

PACKAGE = Path(__file__).resolve().parents[2]
TOOLS = "/opt/kubelab/bin"
"""Where a container finds the shipped tools, ahead of the host's."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Place:
    """Where containers of one node run."""

    state_dir: Path
    tools: Path
    lowest_port: int


def write_tools(folder: Path) -> None:
    """Make the folder of shipped tools: one line of shell each, because a path with a space fits no `#!`."""
    from kubelab.node.runtime.images.programs import PROGRAMS

    folder.mkdir(parents=True, exist_ok=True)
    script = PACKAGE / "node/runtime/images/programs.py"
    lines = {name: f'exec "{sys.executable}" -S -E -I "{script}" {name} "$@"' for name in PROGRAMS}
    lines |= dict.fromkeys(("python", "python3"), f'exec "{sys.executable}" "$@"')
    if os.getuid() and (tar := shutil.which("tar")):  # the container has one user only, who owns all that it unpacks
        lines["tar"] = f'TAR_OPTIONS=--no-same-owner exec {tar} "$@"'
    for name, line in lines.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)


def visible() -> dict[str, str]:
    """Return the host's folders that every container sees at their own path: this interpreter and this package."""
    folders = (str(PACKAGE), sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix))
    return {path: os.path.realpath(path) for path in folders if not path.startswith("/usr")}


def environment(sandbox: SandboxConfig, ip: str, config: ContainerConfig, image: Image, place: Place,
                container_id: str) -> dict[str, str]:
    tag = process_images.parse(config.image).tag
    env = {"PATH": f"{TOOLS}:{PATH}", "HOSTNAME": sandbox.hostname, "HOME": "/root"}
    if config.tty:
        env["TERM"] = "xterm"
    env |= process_images.environment(image, tag) | dict(config.env)
    env |= {"KUBELAB_POD_IP": ip, "KUBELAB_LOWEST_PORT": str(place.lowest_port), "KUBELAB_CONTAINER": container_id,
            "KUBELAB_STATE": str(place.state_dir)}
    if sandbox.dns_server:
        env["KUBELAB_DNS"] = f"{sandbox.dns_server}:{mapped(53, place.lowest_port)}"
        env["KUBELAB_DNS_SEARCH"] = " ".join(sandbox.dns_searches)
    if image.family == "python":
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PACKAGE / "node/runtime/images/site"),
                                                          config.env.get("PYTHONPATH", ""))))
    return env


def pod_files(sandbox: SandboxConfig, ip: str) -> dict[str, str]:
    """Return the files that make names work: hosts, hostname, resolv.conf. `localhost` is the pod's own address."""
    short = sandbox.hostname.removesuffix(f".{sandbox.domain}") if sandbox.domain else sandbox.hostname
    full = f"{short}.{sandbox.domain}\t" if sandbox.domain else ""
    hosts = f"# Kubernetes-managed hosts file.\n{ip}\tlocalhost\n{ip}\t{full}{short}\n"
    if sandbox.host_aliases:
        lines = ["# Entries added by HostAliases.", *("\t".join((at, *names)) for at, names in sandbox.host_aliases)]
        hosts += "\n" + "\n".join(lines) + "\n"
    if sandbox.dns_server:
        search = f"search {' '.join(sandbox.dns_searches)}\n" if sandbox.dns_searches else ""
        options = f"options {' '.join(sandbox.dns_options)}\n" if sandbox.dns_options else ""
        resolv = f"{search}nameserver {sandbox.dns_server}\n{options}"
    else:
        resolv = Path("/etc/resolv.conf").read_text() if os.path.exists("/etc/resolv.conf") else ""
    return {"/etc/hosts": hosts, "/etc/hostname": sandbox.hostname + "\n", "/etc/resolv.conf": resolv}


def container_spec(container_id: str, sandbox: SandboxConfig, ip: str, config: ContainerConfig, image: Image,
                   place: Place) -> dict[str, Any]:
    """Describe the container for a shim that gives private roots. Raises: RuntimeFailure."""
    argv = process_images.command_line(image, config.command, config.args)
    if not argv:
        raise RuntimeFailure("CreateContainerError", "no command specified")
    files = pod_files(sandbox, ip)
    taken = {mount.container_path for mount in config.mounts}
    return {
        "op": "start", "id": container_id, "private": True, "argv": argv, "tty": config.tty, "user": config.user,
        "group": config.group, "groups": list(config.groups), "no_new_privileges": config.no_new_privileges,
        "env": environment(sandbox, ip, config, image, place, container_id),
        "cwd": config.working_dir or image.working_dir, "hostname": sandbox.hostname,
        "memory": config.memory_limit_bytes, "cpu": config.cpu_limit_millicpu, "read_only": config.read_only_root,
        "files": {path: text for path, text in files.items() if path not in taken},
        "trees": {folder: dict(inside) for folder, inside in process_images.trees(image).items()},
        "visible": visible() | {TOOLS: os.path.realpath(place.tools)},
        "mounts": [(mount.host_path, mount.container_path, mount.read_only) for mount in config.mounts],
    }


def exec_spec(container: dict[str, Any], exec_id: str, command: list[str], *, tty: bool) -> dict[str, Any]:
    """Describe a further process in a running container, from the spec it was started with."""
    env = container["env"] | ({"TERM": "xterm"} if tty else {})
    argv = command if container["private"] else _rewritten(command, container["paths"])
    return {"op": "exec", "id": exec_id, "container": container["id"], "private": container["private"], "argv": argv,
            "env": env, "cwd": container["cwd"], "tty": tty, "user": container["user"], "group": container["group"],
            "groups": container["groups"], "no_new_privileges": container["no_new_privileges"]}


# ── where the kernel allows no private mounts ────────────────────────────────────────────────────────────────


def in_folder(spec: dict[str, Any], root: Path, place: Place) -> dict[str, Any]:
    """Let the folder `root` stand in for "/": mounts are links in it, and words that name their paths are rewritten.

    The shipped programs and Python look below it first (KUBELAB_ROOTFS); any other program sees the host's files.
    """
    for folder, files in spec["trees"].items():
        for name, text in files.items():
            _put(root / folder.lstrip("/") / name, text)
    for path, text in spec["files"].items():
        _put(root / path.lstrip("/"), text)
    paths: dict[str, str] = {}
    for source, target, _ in sorted(spec["mounts"], key=lambda entry: entry[1].count("/")):
        link = root / target.lstrip("/")
        paths[target.rstrip("/")] = source
        if link.parent.resolve().is_relative_to(root.resolve()):  # else it lies inside another volume
            link.parent.mkdir(parents=True, exist_ok=True)
            _clear(link)
            link.symlink_to(source)
    paths |= {folder: str(root / folder.lstrip("/")) for folder in spec["trees"] if folder not in paths}
    cwd = root / spec["cwd"].lstrip("/")
    cwd.mkdir(parents=True, exist_ok=True)
    env = dict(spec["env"]) | {"KUBELAB_ROOTFS": str(root), "HOME": str(root / "root")}
    env["PATH"] = env["PATH"].replace(TOOLS, str(place.tools))
    (root / "root").mkdir(exist_ok=True)
    return spec | {"private": False, "argv": _rewritten(spec["argv"], paths), "env": env, "cwd": str(cwd),
                   "paths": paths}


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _clear(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def _rewritten(argv: list[str], paths: dict[str, str]) -> list[str]:
    """Replace every mount path that stands in the command line, longest first."""
    if not paths:
        return list(argv)
    names = "|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w./-])({names})(?![\w.-])")
    return [pattern.sub(lambda match: paths[match[1]], word) for word in argv]
