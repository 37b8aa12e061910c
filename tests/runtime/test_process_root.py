"""The private root of a container: what is its own, what is the host's, what cannot be written."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from kubelab.node.runtime.protocol import Mount

pytestmark = pytest.mark.parametrize("pods", ["private"], indirect=True)


async def test_names_are_the_pods_own(pods: Any) -> None:
    """Host name, hosts and resolv.conf are the pod's, so that every program finds names where it looks for them."""
    container = await pods.run("web-1", "busybox", "sleep", "1000", dns="127.0.0.53")
    script = "uname -n; cat /etc/hostname /etc/hosts /etc/resolv.conf"
    out = (await pods.exec(container, "sh", "-c", script))[1]
    ip = pods.sandboxes[container].ip
    assert out.startswith("web-1\nweb-1\n") and f"{ip}\tlocalhost\n{ip}\tweb-1\n" in out
    assert "search default.svc.cluster.local\nnameserver 127.0.0.53\noptions ndots:5\n" in out
    assert socket.gethostname() != "web-1"


async def test_writes_stay_inside(pods: Any) -> None:
    """What a container writes to system folders and /tmp is seen by it alone, and gone when it is."""
    one, two = await pods.run("one", "busybox", "sleep", "1000"), await pods.run("two", "busybox", "sleep", "1000")
    write = "echo x > /usr/written-inside && echo x > /tmp/written-inside && echo x > /etc/written-inside && echo ok"
    assert (await pods.exec(one, "sh", "-c", write))[1] == "ok\n"
    look = "ls /usr/written-inside /tmp/written-inside /etc/written-inside 2>/dev/null | wc -l"
    assert (await pods.exec(one, "sh", "-c", look))[1].strip() == "3"
    assert (await pods.exec(two, "sh", "-c", look))[1].strip() == "0"
    assert not any(Path(folder, "written-inside").exists() for folder in ("/usr", "/tmp", "/etc"))


async def test_read_only_is_read_only(pods: Any, tmp_path: Path) -> None:
    """A read-only mount and a read-only root refuse writes; a writable volume in it takes them."""
    for name in ("ro", "rw"):
        (tmp_path / name).mkdir()
    mounts = (Mount(str(tmp_path / "ro"), "/mnt/ro", read_only=True), Mount(str(tmp_path / "rw"), "/mnt/rw"))
    container = await pods.run("box", "busybox", "sleep", "1000", mounts=mounts, read_only_root=True)
    for path, allowed in (("/mnt/ro/x", False), ("/mnt/rw/x", True), ("/usr/x", False), ("/x", False)):
        code, _, error = await pods.exec(container, "sh", "-c", f"echo > {path}")
        assert (code == 0) is allowed, (path, error)


async def test_a_volume_below_var_run_is_found(pods: Any, tmp_path: Path) -> None:
    """A service account's folder is found by /run and by /var/run, as in any Linux system."""
    (tmp_path / "token").write_text("secret")
    container = await pods.run("box", "busybox", "sleep", "1000",
                               mounts=(Mount(str(tmp_path), "/var/run/secrets/kubernetes.io/serviceaccount"),))
    script = "cat /run/secrets/kubernetes.io/serviceaccount/token /var/run/secrets/kubernetes.io/serviceaccount/token"
    assert (await pods.exec(container, "sh", "-c", script))[1] == "secretsecret"


async def test_exec_sees_the_containers_files(pods: Any) -> None:
    """`exec` runs in the container's root: it sees what the main process wrote."""
    container = await pods.run("box", "busybox", "sh", "-c", "echo mine > /tmp/note; echo up; sleep 1000")
    await pods.line(container, "up")
    assert (await pods.exec(container, "cat", "/tmp/note"))[1] == "mine\n"


async def test_memory_limit_kills(pods: Any) -> None:
    """A program that takes more memory than its limit is OOMKilled where control groups can be made, else it fails."""
    container = await pods.run("greedy", "python", "python", "-c", "x = bytearray(512 << 20); print(len(x))",
                               memory_limit_bytes=64 << 20)
    status = await pods.ended(container)
    assert status.exit_code != 0
    assert status.reason in ("OOMKilled", "Error")
    if Path("/sys/fs/cgroup/memory").is_dir() and pods.runtime.shim.private and status.signal:
        assert status.reason == "OOMKilled"
