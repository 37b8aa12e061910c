"""How long a notebook waits for its cluster, and what it costs in memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from kubelab.bench import Figure

RUNS = 5
PROGRAM = """
import json, time
began = time.perf_counter()
import kubelab
imported = time.perf_counter()
cluster = kubelab.Cluster(nodes=3)
ready = time.perf_counter()
time.sleep(2)
def resident(pid):
    return sum(int(l.split()[1]) for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS:")) / 1024
import os
def tree(pid):
    mine = [int(c) for c in open(f"/proc/{pid}/task/{pid}/children").read().split()]
    return [pid, *(p for c in mine for p in tree(c))]
print(json.dumps([imported - began, ready - imported, sum(map(resident, tree(os.getpid())))]))
cluster.stop()
"""


def measure() -> Iterator[Figure]:
    """Start three nodes in a fresh interpreter, several times; the medians count."""
    rows = []
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # as on a person's machine
    for _ in range(RUNS):
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120,
                              env=environment)
        if done.returncode:
            raise RuntimeError(f"a cluster did not start: {done.stderr[-2000:]}")
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    imported, ready, memory = (statistics.median(column) for column in zip(*rows, strict=True))
    yield Figure("import kubelab", imported, "s", "-", 0.3, "less")
    yield Figure("Cluster(nodes=3) ready", ready, "s", "2.7 to 3.4 s", 0.5, "less")
    yield Figure("memory, three nodes, idle", memory, "MB", "505 MB", 120, "less")
