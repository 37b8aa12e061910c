"""What a shipped program knows of its pod: its address, the ports it may bind, where its files are.

Invariant: the environment says all of it; nothing here asks the cluster.
Left out:  a network namespace: a pod's address is one of 127.0.0.0/8, so "all interfaces" and localhost both mean it
"""

from __future__ import annotations

import os
import socket
import sys

from kubelab.machinery.ports import mapped

WILDCARDS = ("", "0.0.0.0", "*", "::", "[::]", "localhost", "127.0.0.1", "::1")


def address() -> str:
    return os.environ.get("KUBELAB_POD_IP", "127.0.0.1")


def hostname() -> str:
    """Return the pod's name; where it cannot have a host name of its own, the environment has it."""
    return os.environ["HOSTNAME"] if os.environ.get("KUBELAB_ROOTFS") else socket.gethostname()


def lowest_port() -> int:
    return int(os.environ.get("KUBELAB_LOWEST_PORT", "0"))


def own(host: str) -> str:
    """Return the pod's own address for a wildcard or localhost, any other host as it is."""
    return address() if host in WILDCARDS else host


def bind(port: int, host: str = "", kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Open a socket on the pod's address; a port that may not be bound is mapped, and standard error says so.

    Raises: OSError, worded as the kernel does.
    """
    real = mapped(port, lowest_port())
    if real != port:
        print(f"kubelab: port {port} may not be bound on this machine, {real} is used in its place", file=sys.stderr,
              flush=True)
    opened = socket.socket(socket.AF_INET, kind)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((own(host), real))
    except OSError:
        opened.close()
        raise
    if kind == socket.SOCK_STREAM:
        opened.listen(511)
    return opened


def path(inside: str) -> str:
    """Return where a file of the container is: the same path, or below the folder that stands in for its root."""
    root = os.environ.get("KUBELAB_ROOTFS", "")
    if root and inside.startswith("/") and not inside.startswith(root) and os.path.lexists(root + inside):
        return root + inside
    return inside
