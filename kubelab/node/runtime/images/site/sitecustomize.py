"""What every Python program in a pod gets: its wildcard binds mean the pod, its names go to the cluster's DNS.

Pods of the process runtime have addresses in 127.0.0.0/8 but no network namespace. A program that binds 0.0.0.0
would take the port of every pod at once; here "all interfaces" and localhost become the pod's own address, ports
that may not be bound are mapped, and where the root folder is not private, `open` finds the mounted files.

Left out:  programs that start Python with -I, -E or -S, and extension modules with sockets of their own (uvloop)
"""

from __future__ import annotations

import builtins
import io
import os
import socket
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[5]))
from kubelab.machinery.ports import mapped
from kubelab.node.runtime.images import pod, resolver

sys.path.pop()

BIND = socket.socket.bind
Address = Any  # a tuple for IP sockets, str or bytes for others


def _for_bind(sock: socket.socket, address: Address) -> Address:
    if sock.family == socket.AF_INET:
        return pod.own(address[0]), mapped(address[1], pod.lowest_port()) if address[1] else 0
    if sock.family == socket.AF_INET6 and address[0] in pod.WILDCARDS:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        return f"::ffff:{pod.address()}", mapped(address[1], pod.lowest_port()) if address[1] else 0, 0, 0
    return address


def _for_connect(sock: socket.socket, address: Address) -> Address:
    if sock.family == socket.AF_INET and isinstance(address[0], str):
        host = pod.own(address[0]) if address[0] else address[0]
        if host.startswith("127.") and sock.getsockname() == ("0.0.0.0", 0):
            BIND(sock, (pod.address(), 0))  # so that the other side sees this pod's address
        return host, mapped(address[1], pod.lowest_port()) if host.startswith("127.") else address[1]
    return address


def _patch_sockets() -> None:
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    kind: Any = socket.socket
    kind.bind = lambda self, address: BIND(self, _for_bind(self, address))
    kind.connect = lambda self, address: connect(self, _for_connect(self, address))
    kind.connect_ex = lambda self, address: connect_ex(self, _for_connect(self, address))


def _patch_names() -> None:
    getaddrinfo, gethostbyname = socket.getaddrinfo, socket.gethostbyname

    def known(host: object) -> str | None:
        if not isinstance(host, str) or not host or host in pod.WILDCARDS or ":" in host:
            return None
        try:
            return resolver.lookup(host)
        except LookupError:
            return None

    module: Any = socket
    module.getaddrinfo = lambda host, *rest, **named: getaddrinfo(known(host) or host, *rest, **named)
    module.gethostbyname = lambda host: known(host) or gethostbyname(host)


def _patch_files() -> None:
    """Let paths that the pod mounts lead to the mounted files; only where they are not really there."""
    module: Any = os
    for name in ("stat", "lstat", "listdir", "scandir", "access"):
        function = getattr(os, name)

        def through(path: Any = ".", *rest: Any, function: Any = function, **named: Any) -> Any:
            return function(pod.path(os.fspath(path)) if isinstance(path, str | os.PathLike) else path, *rest, **named)

        setattr(module, name, through)
    opener = io.open

    def open_(file: Any, *rest: Any, **named: Any) -> Any:
        return opener(pod.path(os.fspath(file)) if isinstance(file, str | os.PathLike) else file, *rest, **named)

    builtins.open = io.open = open_
    socket.gethostname = lambda: os.environ.get("HOSTNAME", "localhost")


if "KUBELAB_POD_IP" in os.environ:
    _patch_sockets()
    _patch_names()
    if os.environ.get("KUBELAB_ROOTFS"):
        _patch_files()
