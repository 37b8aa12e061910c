"""Names to addresses for programs in a pod: /etc/hosts, then the cluster DNS with the search path, then the host.

    lookup("web") ─► web.default.svc.cluster.local? ─► web.svc.cluster.local? ─► ... ─► web

It asks the DNS server itself, because C libraries ask port 53 only, which not every machine lets us bind.

Invariant: a name with `ndots` dots or more is tried as it is first; a name that ends in a dot only so.
Models:    the stub resolver of glibc, resolv.conf(5)
"""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Iterator

from kubelab.node.runtime.images import pod

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
NXDOMAIN = 3
CODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
Record = tuple[str, str, str]  # name, type, data as text


class NoServer(LookupError):
    """The DNS server gave no answer."""


def server() -> tuple[str, int]:
    """Return address and port of the cluster's DNS server, ("", 0) when the pod has none."""
    host, _, port = os.environ.get("KUBELAB_DNS", "").partition(":")
    return host, int(port or 53) if host else 0


def searches() -> list[str]:
    return os.environ.get("KUBELAB_DNS_SEARCH", "").split()


def candidates(name: str, ndots: int = 5) -> Iterator[str]:
    """Yield the names to ask for, in order."""
    if name.endswith("."):
        yield name[:-1]
        return
    if name.count(".") >= ndots:
        yield name
    for suffix in searches():
        yield f"{name}.{suffix}"
    if name.count(".") < ndots:
        yield name


def lookup(name: str) -> str:
    """Return an IPv4 address for `name`. Raises: LookupError."""
    if name == "localhost":
        return pod.address()
    try:
        socket.inet_aton(name)
    except OSError:
        return _lookup(name)
    return pod.own(name)


def _lookup(name: str) -> str:
    if name == os.uname().nodename or name == os.environ.get("HOSTNAME"):
        return pod.address()
    if server()[0]:
        for candidate in candidates(name):
            _, records = ask(candidate, "A")
            addresses = [data for _, kind, data in records if kind == "A"]
            if addresses:
                return addresses[0]
        raise LookupError(f"bad address '{name}'")
    try:
        return socket.gethostbyname(name)
    except OSError:
        raise LookupError(f"bad address '{name}'") from None


def ask(name: str, kind: str, at: tuple[str, int] | None = None, timeout_s: float = 2.0) -> tuple[int, list[Record]]:
    """Ask one question; return the response code and the answer records. Raises: NoServer."""
    where = at or server()
    number = random.randrange(65536)
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split(".") if part) + b"\0"
    query = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + question + struct.pack(">HH", TYPES[kind], 1)
    for _ in range(2):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout_s)
            try:
                sock.connect(where)
                sock.send(query)
                answer = sock.recv(65535)
            except OSError:
                continue
            if len(answer) >= 12 and answer[:2] == query[:2]:
                return _decode(answer)
    raise NoServer("connection timed out; no servers could be reached")


def _decode(message: bytes) -> tuple[int, list[Record]]:
    flags, questions, answers = struct.unpack(">HHH", message[2:8])
    at = 12
    for _ in range(questions):
        at = _name(message, at)[1] + 4
    records = []
    for _ in range(answers):
        name, at = _name(message, at)
        kind, _, _, size = struct.unpack(">HHIH", message[at:at + 10])
        at += 10
        records.append((name, TYPE_NAMES.get(kind, str(kind)), _data(message, at, size, kind)))
        at += size
    return flags & 15, records


def _data(message: bytes, at: int, size: int, kind: int) -> str:
    if kind == 1:
        return socket.inet_ntop(socket.AF_INET, message[at:at + 4])
    if kind == 28:
        return socket.inet_ntop(socket.AF_INET6, message[at:at + 16])
    if kind in (2, 5, 12):
        return _name(message, at)[0]
    if kind == 33:
        priority, weight, port = struct.unpack(">HHH", message[at:at + 6])
        return f"{priority} {weight} {port} {_name(message, at + 6)[0]}"
    return message[at:at + size].hex()


def _name(message: bytes, at: int) -> tuple[str, int]:
    """Read a name, following compression; return it and the offset behind it."""
    labels: list[str] = []
    end = 0
    for _ in range(128):
        size = message[at]
        if size >= 192:
            end = end or at + 2
            at = (size & 63) << 8 | message[at + 1]
        elif size == 0:
            return ".".join(labels), end or at + 1
        else:
            labels.append(message[at + 1:at + 1 + size].decode("latin-1"))
            at += 1 + size
    raise NoServer("malformed answer")
