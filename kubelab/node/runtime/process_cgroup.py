"""Memory and CPU limits of containers: a control group each, where this user may make one.

    <hierarchy>/kubelab-<state>/<container>/   memory.max, cpu.max  (v2)
                                               memory.limit_in_bytes, cpu.cfs_quota_us  (v1)

Invariant: a group exists only while its container lives; `remove_all` clears what a killed cluster left.
Models:    runc's cgroup manager
Left out:  where no group may be made, RLIMIT_DATA stands in for the memory limit (the program then sees a failed
           allocation, not an OOM kill) and CPU is not limited
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
SLACK_BYTES = 24 << 20
"""What a program may have mapped before it does anything: RLIMIT_DATA counts it, Kubernetes' limits hardly do."""
CPU_PERIOD_US = 100_000


class Cgroups:
    """The control groups of one cluster's containers. Cheap to make: nothing is created before the first limit."""

    def __init__(self, state: str) -> None:
        self.name = f"kubelab-{Path(state).name}"
        self._parents: dict[str, Path] | None = None  # "memory" and "cpu" to the folder that holds the containers'

    @property
    def version(self) -> int:
        return 2 if (ROOT / "cgroup.controllers").exists() else 1

    def limit(self, container: str, memory_bytes: int, cpu_millicpu: int) -> list[str]:
        """Make the container's groups; return the files into which it writes its pid to join them."""
        files = []
        for controller, parent in self._ready().items():
            if not (memory_bytes if controller == "memory" else cpu_millicpu) and self.version == 1:
                continue
            group = parent / container
            group.mkdir(exist_ok=True)
            for file, text in self._settings(memory_bytes, cpu_millicpu):
                if (group / file).exists():
                    (group / file).write_text(text)
            files.append(str(group / "cgroup.procs"))
        return list(dict.fromkeys(files))

    def _settings(self, memory_bytes: int, cpu_millicpu: int) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        quota = cpu_millicpu * CPU_PERIOD_US // 1000
        if memory_bytes and self.version == 2:
            found += [("memory.max", str(memory_bytes)), ("memory.swap.max", "0"), ("memory.oom.group", "1")]
        elif memory_bytes:
            found += [("memory.limit_in_bytes", str(memory_bytes)), ("memory.memsw.limit_in_bytes", str(memory_bytes))]
        if cpu_millicpu and self.version == 2:
            found.append(("cpu.max", f"{quota} {CPU_PERIOD_US}"))
        elif cpu_millicpu:
            found += [("cpu.cfs_period_us", str(CPU_PERIOD_US)), ("cpu.cfs_quota_us", str(quota))]
        return found

    def was_oom_killed(self, container: str) -> bool:
        """Tell whether the kernel killed a process of this container for want of memory."""
        parent = self._ready().get("memory")
        if parent is None:
            return False
        for name in ("memory.events", "memory.oom_control"):
            try:
                words = (parent / container / name).read_text().split()
            except OSError:
                continue
            if "oom_kill" in words:
                return int(words[words.index("oom_kill") + 1]) > 0
        return False

    def remove(self, container: str) -> bool:
        """Remove the container's groups. Return False while a process that is being killed still holds one."""
        gone = True
        for parent in set((self._parents or {}).values()):
            gone &= _remove(parent / container)
        return gone

    def remove_all(self) -> None:
        for parent in self._places():
            group = parent / self.name
            if group.is_dir():
                for child in group.iterdir():
                    if child.is_dir():
                        _remove(child)
                _remove(group)

    def _ready(self) -> dict[str, Path]:
        if self._parents is None:
            self._parents = {}
            for place in self._places():
                try:
                    self._parents |= self._open(place)
                except OSError:
                    continue  # not ours to use: the next place, or RLIMIT_DATA
                if self.version == 2:
                    break
        return self._parents

    def _places(self) -> list[Path]:
        """List the folders in which a group of ours may stand, best first."""
        if self.version == 1:
            return [ROOT / "memory", ROOT / "cpu"]
        own = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
        return [ROOT, (ROOT / own).parent]

    def _open(self, place: Path) -> dict[str, Path]:
        group = place / self.name
        group.mkdir(exist_ok=True)
        if self.version == 1:
            return {place.name: group}
        try:
            (group / "cgroup.subtree_control").write_text("+memory +cpu")
        except OSError:
            group.rmdir()
            raise
        return {"memory": group, "cpu": group}


def _remove(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def fall_back(memory_bytes: int) -> None:
    """Limit this process's memory where it is in no control group."""
    limit = memory_bytes + SLACK_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def join(files: list[str]) -> None:
    """Put this process into the groups that `Cgroups.limit` made."""
    for path in files:
        with open(path, "w") as file:
            file.write(str(os.getpid()))
