"""The shim and its near end: what happens when one of them dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kubelab import host
from kubelab.node.runtime.process import sweep

PROGRAM = """
import asyncio, sys
from pathlib import Path
from kubelab.node.runtime.process import ProcessRuntime
from kubelab.node.runtime.protocol import ContainerConfig, PodRef, SandboxConfig

async def main():
    runtime = ProcessRuntime("n", root_dir=Path(sys.argv[1]), pod_cidr=sys.argv[2], lowest_port=1024)
    await runtime.start()
    for image, command in (("nginx", ()), ("busybox", ("sh", "-c", "setsid sleep 6543 & sleep 6543"))):
        pod = SandboxConfig(PodRef("d", image, "u", "n"), image, "", ())
        sandbox = await runtime.run_pod_sandbox(pod)
        await runtime.start_container(await runtime.create_container(
            sandbox.id, ContainerConfig("c", image, 0, command)))
    await asyncio.sleep(0.3)
    print(runtime.shim.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.parametrize("shim_too", [False, True])
def test_kill_9_leaves_nothing_behind(tmp_path: Path, plan: host.AddressPlan, shim_too: bool) -> None:
    """After kill -9 of the parent every process is gone within 2 s; of the shim too, after the next start's sweep."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), plan.pod_cidr(1)], stdout=subprocess.PIPE,
                          text=True) as parent:
        assert parent.stdout is not None
        shim = psutil.Process(int(parent.stdout.readline()))
        family = [shim, *shim.children(recursive=True)]
        assert len(family) >= 5
        if shim_too:
            shim.suspend()  # so that it cannot clean up, as if it were killed at the same moment
        parent.kill()
    if shim_too:
        shim.kill()
        sweep(tmp_path)
    _, alive = psutil.wait_procs(family, timeout=2)
    assert not [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_sweep_spares_everybody_else(tmp_path: Path) -> None:
    """A sweep of one state folder leaves processes of other folders alone, also one whose name begins alike."""
    others = [subprocess.Popen(["sleep", "1000"], env={"KUBELAB_STATE": str(tmp_path) + suffix, "PATH": os.defpath})
              for suffix in ("-2", "")]
    time.sleep(0.05)  # until both have their environment
    try:
        assert sweep(tmp_path) == [others[1].pid]
        assert others[0].poll() is None
    finally:
        for other in others:
            other.kill()
            other.wait()
