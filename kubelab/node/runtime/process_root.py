"""A root folder of its own for a container process: private mounts without any shell or set-uid program.

    fork ─► unshare(mount, uts [, user]) ─► tmpfs becomes "/" (pivot_root)
              ├─ /usr, /etc, …   overlay: the host's files below, the container's own writes above, in memory
              ├─ /etc/{hosts,hostname,resolv.conf}   the pod's
              ├─ /tmp /var /run /root …              empty and its own
              ├─ /proc /dev /sys, the interpreter    the host's
              └─ each volume at its container_path   bind mount

Invariant: every mount lives in the process's own mount namespace, so the kernel removes all of it with the last
           process of the container; nothing has to be cleaned up after a crash.
Models:    runc's libcontainer/rootfs
Left out:  network and PID namespaces: pods have addresses in 127.0.0.0/8 and see the host's processes
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER = 0x0002_0000, 0x0400_0000, 0x1000_0000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 15, 36, 38
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "i686": 217, "armv7l": 218, "ppc64le": 203, "s390x": 217}

LAYERED = ("usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix", "gnu")
EMPTY = ("tmp", "var/tmp", "var/log", "var/cache", "var/lib", "var/spool", "run/lock", "root", "home", "mnt", "srv",
         "media", "data")
OPEN_TO_ALL = ("/tmp", "/var/tmp", "/data")  # noqa: S108 — the container's own
HOST = "/.host"

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: Any) -> None:
    """Call a libc function that returns -1 on failure. Raises OSError."""
    if getattr(_libc, name)(*args) < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{name}: {os.strerror(errno)}")


def prctl(option: int, argument: int | bytes) -> None:
    call("prctl", option, argument, 0, 0, 0)


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str = "") -> None:
    call("mount", os.fsencode(source), os.fsencode(target), kind.encode() if kind else None, ctypes.c_ulong(flags),
         os.fsencode(data) if data else None)


def unshare(user: int) -> None:
    """Enter new mount and UTS namespaces, and without root rights a user namespace in which we are `user`."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        call("unshare", CLONE_NEWNS | CLONE_NEWUTS)
    else:
        call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {uid} 1"), ("gid_map", f"{user} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def enter(pid: int) -> None:
    """Join the namespaces of a running container process."""
    kinds = ["mnt", "uts"] if os.getuid() == 0 else ["user", "mnt", "uts"]
    fds = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    for fd in fds:
        call("setns", fd, 0)
        os.close(fd)


def build(spec: Mapping[str, Any]) -> None:
    """Make this process's root a new one and move into it.

    `spec` holds base (any empty folder of the host), hostname, files (path to text, in system folders), trees (folder
    to its files, which replace whatever the host has there), mounts (host path, container path, read only), visible
    (path to the host's folder that stands there, read-only), user, cwd and read_only.
    Raises: OSError where the kernel refuses.
    """
    unshare(spec["user"] or 0)
    call("sethostname", spec["hostname"].encode(), len(spec["hostname"].encode()))
    mounts = [(os.path.realpath(source), target, read_only) for source, target, read_only in spec["mounts"]]
    _pivot(spec["base"])
    for name in ("/proc", "/sys", "/dev"):
        _bind(HOST + name, name, read_only=False)
    store = HOST + spec["base"]
    bound = [*((source, path) for path, source in spec["visible"].items()), *((one[0], one[1]) for one in mounts)]
    folders = [*spec["trees"], spec["cwd"], *(path for source, path in bound if os.path.isdir(HOST + source))]
    own = ["/", *_layers(store, spec["files"], folders)]
    for name in EMPTY:
        os.makedirs(f"/{name}", exist_ok=True)
    os.symlink("/run", "/var/run")
    for name in OPEN_TO_ALL:
        os.chmod(name, 0o1777)  # noqa: S103 — as /tmp is everywhere
    for path, source in spec["visible"].items():
        _bind(HOST + source, path, read_only=True)
    for number, (folder, files) in enumerate(spec["trees"].items()):
        for name, text in {".": "", **files}.items():
            _write(f"{store}/tree/{number}/{name}", text)
        _bind(f"{store}/tree/{number}", folder, read_only=False)
        own.append(folder)
    for source, target, read_only in sorted(mounts, key=lambda entry: entry[1].count("/")):
        _bind(HOST + source, target, read_only=read_only)
    _show_again(spec["visible"], [target for _, target, _ in mounts])
    os.makedirs(spec["cwd"], exist_ok=True)
    call("umount2", HOST.encode(), MNT_DETACH)
    os.rmdir(HOST)
    if spec["read_only"]:
        for path in own:
            _make_read_only(path)


def _show_again(visible: Mapping[str, str], targets: Sequence[str]) -> None:
    """Put the interpreter and the tools on top of volumes that stand over them; a read-only volume hides them."""
    for path, source in visible.items():
        if any(f"{path}/".startswith(f"{target.rstrip('/')}/") for target in targets):
            try:
                _bind(HOST + source, path, read_only=True)
            except OSError:
                continue  # no place for a mount point there


def _pivot(base: str) -> None:
    mount("kubelab", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1g")
    os.mkdir(base + HOST, 0o700)
    number = PIVOT_ROOT[os.uname().machine]
    if _libc.syscall(number, os.fsencode(base), os.fsencode(base + HOST)) < 0:
        raise OSError(ctypes.get_errno(), "pivot_root: " + os.strerror(ctypes.get_errno()))
    os.chdir("/")


def _layers(store: str, files: Mapping[str, str], folders: Sequence[str]) -> list[str]:
    """Lay the container's writable layer, kept in a tmpfs on the folder `store`, over the host's system folders.

    `folders` that the host lacks are made beforehand in the layer itself: in a user namespace nobody may write into a
    folder that belongs to the host's root, be it through an overlay.
    """
    mount("kubelab", store, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1g")
    os.chdir(store)
    options = "" if _real_root() else ",userxattr"
    layered = []
    for name in LAYERED:
        host = f"{HOST}/{name}"
        if os.path.islink(host):
            os.symlink(os.readlink(host), f"/{name}")
        elif os.path.isdir(host):
            os.makedirs(f"upper/{name}")
            os.makedirs(f"work/{name}")
            for path, text in files.items():
                if path.startswith(f"/{name}/"):
                    _write(f"upper{path}", text)
            for path in folders:
                if path.startswith(f"/{name}/"):
                    _make_above(path)
            os.mkdir(f"/{name}")
            mount("overlay", f"/{name}", "overlay", 0,
                  f"lowerdir={host},upperdir=upper/{name},workdir=work/{name}{options}")
            layered.append(f"/{name}")
    os.chdir("/")
    return layered


def _make_above(path: str) -> None:
    """Make a folder in the writable layer, if the host has none; below a link of the host's it stays away."""
    parents = [path[:at] for at in range(1, len(path)) if path[at] == "/"]
    if not os.path.isdir(HOST + path) and not any(os.path.islink(HOST + parent) for parent in parents):
        os.makedirs(f"upper{path}", exist_ok=True)


def _real_root() -> bool:
    with open("/proc/self/uid_map") as file:
        return file.read().split() == ["0", "0", "4294967295"]


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not path.endswith("/."):
        with open(path, "w") as file:
            file.write(text)


def _bind(source: str, target: str, *, read_only: bool) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.lexists(target):
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        _make_read_only(target)


def _make_read_only(path: str) -> None:
    """Remount read-only; flags that the mount has must be named again, or a user namespace is refused."""
    flags = os.statvfs(path).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC)
    mount("none", path, None, MS_REMOUNT | MS_BIND | MS_RDONLY | flags)


def probe(base: str) -> str:
    """Try it in a forked child: return "" when a private root can be had here, else the kernel's reason."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        problem = ""
        try:
            build({"base": base, "hostname": socket.gethostname(), "files": {"/etc/hostname": "probe\n"}, "trees": {},
                   "mounts": [(base, "/etc/probe/here", True)], "visible": {}, "user": 0, "cwd": "/",
                   "read_only": False})
            os.listdir("/etc/probe/here")
        except (OSError, KeyError) as error:
            problem = str(error) or repr(error)
        finally:
            os.write(writer, problem.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        problem = pipe.read().decode()
    os.waitpid(pid, 0)
    return problem
