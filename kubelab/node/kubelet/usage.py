"""What containers use: /stats/summary for people and dashboards, /metrics/resource for metrics-server.

Models:    pkg/kubelet/server/stats, pkg/kubelet/metrics/collectors/resource_metrics.go
Left out:  file systems, network, swap
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.machinery.clock import timestamp
from kubelab.machinery.request import Obj
from kubelab.node.runtime.protocol import ContainerStatus, RuntimeFailure, Usage

if TYPE_CHECKING:
    from kubelab.node.kubelet.kubelet import Kubelet
    from kubelab.node.kubelet.pod_worker import PodWorker


@dataclass(frozen=True, slots=True)
class Sample:
    """One running container and what it has used so far."""

    worker: PodWorker
    status: ContainerStatus
    usage: Usage


async def samples(kubelet: Kubelet) -> AsyncIterator[Sample]:
    """Yield a sample of every running container of the node."""
    for worker in list(kubelet.workers.values()):
        for status in worker.observed.running():
            try:
                yield Sample(worker, status, await kubelet.runtime.stats(status.id))
            except RuntimeFailure:
                continue  # it ended between the look and the question


async def summary(kubelets: Iterable[Kubelet]) -> Obj:
    """Return the Summary API's answer; CPU as the total so far and as the mean rate since the start."""
    nodes, pods = [], []
    for kubelet in kubelets:
        by_pod: dict[str, list[Sample]] = {}
        async for sample in samples(kubelet):
            by_pod.setdefault(sample.worker.uid, []).append(sample)
        now = kubelet.clock.now()
        own = [_pod(group, now) for group in by_pod.values()]
        pods += own
        nodes.append({"nodeName": kubelet.node_name, "cpu": _sum(own, "cpu", now), "memory": _sum(own, "memory", now)})
    return {"node": nodes[0] if nodes else {}, "pods": pods}


def _pod(group: list[Sample], now: float) -> Obj:
    meta = group[0].worker.pod["metadata"]
    containers = [{"name": s.status.name, "startTime": timestamp(s.status.started_at)} | _numbers(s, now)
                  for s in group]
    return {"podRef": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "startTime": group[0].worker.status.get("startTime"), "containers": containers,
            "cpu": _sum(containers, "cpu", now), "memory": _sum(containers, "memory", now)}


def _numbers(sample: Sample, now: float) -> Obj:
    lived_s = max(now - sample.status.started_at, 0.001)
    used, when = sample.usage, timestamp(now)
    return {"cpu": {"time": when, "usageNanoCores": int(used.cpu_seconds / lived_s * 1e9),
                    "usageCoreNanoSeconds": int(used.cpu_seconds * 1e9)},
            "memory": {"time": when, "usageBytes": used.memory_bytes, "workingSetBytes": used.memory_bytes,
                       "rssBytes": used.memory_bytes}}


def _sum(parts: Iterable[Obj], what: str, now: float) -> Obj:
    total: Obj = {"time": timestamp(now)}
    for part in parts:
        for key, value in part[what].items():
            if key != "time":
                total[key] = total.get(key, 0) + value
    return total


async def metrics(kubelets: Iterable[Kubelet]) -> str:
    """Return the resource metrics in Prometheus' text form."""
    cpu, memory = [], []
    node_cpu = node_memory = 0.0
    now_ms = 0
    for kubelet in kubelets:
        now_ms = int(kubelet.clock.now() * 1000)
        async for sample in samples(kubelet):
            meta = sample.worker.pod["metadata"]
            labels = f'container="{sample.status.name}",namespace="{meta["namespace"]}",pod="{meta["name"]}"'
            cpu.append(f"container_cpu_usage_seconds_total{{{labels}}} {sample.usage.cpu_seconds:.6f} {now_ms}")
            memory.append(f"container_memory_working_set_bytes{{{labels}}} {sample.usage.memory_bytes} {now_ms}")
            node_cpu += sample.usage.cpu_seconds
            node_memory += sample.usage.memory_bytes
    lines = ["# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in "
             "core-seconds", "# TYPE container_cpu_usage_seconds_total counter", *cpu,
             "# HELP container_memory_working_set_bytes [STABLE] Current working set of the container in bytes",
             "# TYPE container_memory_working_set_bytes gauge", *memory,
             "# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the node in core-seconds",
             "# TYPE node_cpu_usage_seconds_total counter", f"node_cpu_usage_seconds_total {node_cpu:.6f} {now_ms}",
             "# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes",
             "# TYPE node_memory_working_set_bytes gauge",
             f"node_memory_working_set_bytes {int(node_memory)} {now_ms}"]
    return "\n".join(lines) + "\n"
