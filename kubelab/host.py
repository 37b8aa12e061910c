"""What a cluster takes from this machine: a block of loopback addresses, a state folder, the ports it may bind.

    127.A.0.0/16  claimed by a bound socket ─► nodes     127.A.0.10 …
                                              pods      127.A.(16+node).0/24
                                              services  127.A.128.0/17   (.1 the API, .10 DNS)
    <temp>/kubelab-<uid>/<cluster id>/        held by a file lock; a folder whose lock is free belonged to a
                                              cluster that was killed, and the next start sweeps it

Invariant: two clusters on one machine never share an address or a folder, whichever users they belong to.
Left out:  systems whose loopback is 127.0.0.1 alone (macOS, Windows); `kubelab doctor` says what to do there
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FIRST_BLOCK, LAST_BLOCK = 64, 254
MOST_FILES = 65536
CLAIM_PORT = 10249
"""Bound on 127.A.0.1 for as long as the cluster lives; the number is that of kube-proxy's metrics."""


class HostError(RuntimeError):
    """This machine cannot give what the cluster needs; the message says what to do."""


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """Which addresses of block `block` (the A of 127.A.0.0/16) belong to what."""

    block: int

    def node_ip(self, index: int) -> str:
        return f"127.{self.block}.{(index + 10) // 250}.{(index + 10) % 250}"

    def pod_cidr(self, index: int) -> str:
        """Return the /24 of node `index` for pods with real sockets; there is room for 100 such nodes."""
        if index >= 100:
            raise HostError('100 nodes are the most for runtime="process"; use runtime="hollow" for more')
        return f"127.{self.block}.{16 + index}.0/24"

    def hollow_pod_cidr(self, index: int) -> str:
        """Return a made-up /24: hollow pods have no sockets."""
        return f"10.{64 + (index >> 8)}.{index & 255}.0/24"

    @property
    def service_cidr(self) -> str:
        return f"127.{self.block}.128.0/17"

    @property
    def api_service_ip(self) -> str:
        return f"127.{self.block}.128.1"

    @property
    def dns_ip(self) -> str:
        return f"127.{self.block}.128.10"


@dataclass(slots=True)
class Claim:
    """A block of addresses and a state folder, ours until `release` or until this process dies."""

    plan: AddressPlan
    path: Path
    _socket: socket.socket = field(repr=False)
    _lock: int = field(repr=False)

    @property
    def cluster_id(self) -> str:
        return self.path.name

    def release(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._socket.close()
        os.close(self._lock)


def claim(block: int | None = None) -> Claim:
    """Take a free block (or just `block`, where stored addresses ask for it) and make its state folder."""
    taken, holder = _claim_block(block)
    path = _base() / f"{taken}-{secrets.token_hex(3)}"
    path.mkdir(mode=0o700)
    lock = os.open(path / "new.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (path / "new.lock").rename(path / "alive.lock")  # from here on a sweep sees it, and sees it held
    return Claim(AddressPlan(taken), path, holder, lock)


def allow_open_files() -> None:
    """Let this process hold as many files and sockets as the system grants it, as Go programs do from the start.

    The usual 1,024 are used up by a thousand idle clients, and then nobody is answered.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _claim_block(block: int | None) -> tuple[int, socket.socket]:
    blocks = [block] if block else list(range(FIRST_BLOCK, LAST_BLOCK + 1))
    for candidate in blocks:
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            holder.bind((f"127.{candidate}.0.1", CLAIM_PORT))
        except OSError as error:
            holder.close()
            if error.errno == 99:  # EADDRNOTAVAIL
                raise HostError(
                    "this system has no addresses in 127.0.0.0/8 besides 127.0.0.1, which pods and Services need; "
                    "run kubelab on Linux (on Windows: WSL 2; on macOS: a Linux container)") from error
            continue
        return candidate, holder
    if block:
        raise HostError(f"the addresses 127.{block}.0.0/16, in which this data folder keeps its Services, "
                        "are held by another running cluster; stop that one first")
    raise HostError("all 191 address blocks are held by running clusters; stop one of them first")


def _base() -> Path:
    root = Path(tempfile.gettempdir()) / f"kubelab-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.stat().st_uid != os.getuid():
        raise HostError(f"{root} belongs to another user; set TMPDIR to a folder of your own")
    return root


def dead_states() -> Iterator[Path]:
    """Yield the state folders whose cluster is gone without having cleaned up."""
    for path in sorted(_base().iterdir()):
        lock_path = path / "alive.lock"
        if not lock_path.is_file():
            continue
        lock = os.open(lock_path, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            yield path
        finally:
            os.close(lock)


def sweep(*cleaners: Callable[[Path], object]) -> list[Path]:
    """Let each cleaner free what a dead cluster left (processes, containers), then delete its folder."""
    swept = []
    for path in dead_states():
        for clean in cleaners:
            clean(path)
        shutil.rmtree(path, ignore_errors=True)
        swept.append(path)
    return swept


def lowest_port() -> int:
    """Return the lowest port that this process may bind: 0 where all are free to it, else usually 1024."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        probe.bind(("127.0.0.1", 7))
    except PermissionError:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except OSError:
        return 0  # taken by someone, which only a process that may bind it would be told
    finally:
        probe.close()
    return 0
