"""The end of a pod: its containers together, then its sidecars in reverse order, then its sandbox.

Models:    kuberuntime killPodWithSyncResult and its termination ordering
"""

from __future__ import annotations

import asyncio

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.containers import Containers
from kubelab.node.kubelet.context import Context
from kubelab.node.kubelet.observed import Observed
from kubelab.node.kubelet.pod_facts import grace_s
from kubelab.node.runtime.protocol import ContainerStatus


async def end_pod(context: Context, containers: Containers, pod: Obj, observed: Observed) -> None:
    """Stop everything of the pod that runs; what it leaves can still be read (logs, states)."""
    clock = context.clock
    deadline = clock.monotonic() + grace_s(pod)
    spec = pod["spec"]
    regular = {c["name"]: c for c in spec["containers"]}
    init = {c["name"]: c for c in spec.get("initContainers") or ()}

    async def stop(container: Obj | None, status: ContainerStatus) -> None:
        left_s = max(deadline - clock.monotonic(), 0.0)
        await containers.stop(pod, container, status, f"Stopping container {status.name}", left_s, observed)

    first = [s for s in observed.running() if s.name not in init]
    if len(first) == 1:
        await stop(regular.get(first[0].name), first[0])
    elif first:
        await asyncio.gather(*(stop(regular.get(s.name), s) for s in first))
    for name in reversed(list(init)):
        for status in observed.running():
            if status.name == name:
                await stop(init[name], status)
    if observed.sandbox is not None and observed.sandbox.ready:
        await context.runtime.stop_pod_sandbox(observed.sandbox.id)
        observed.end_sandbox()
