"""A pod's sandbox: its volumes are made first, then its network; a lost one is taken away before.

Models:    kuberuntime createPodSandbox
"""

from __future__ import annotations

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.container_config import sandbox_config
from kubelab.node.kubelet.context import Context
from kubelab.node.kubelet.observed import Observed
from kubelab.node.kubelet.volumes import VolumeError, Volumes
from kubelab.node.runtime.protocol import RuntimeFailure


async def new_sandbox(context: Context, volumes: Volumes, pod: Obj, observed: Observed) -> bool:
    """Give the pod a fresh sandbox; when that fails, say why in an Event and return False."""
    old = observed.sandbox
    if old is not None:
        context.record(pod, None, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        await context.runtime.remove_pod_sandbox(old.id)
        observed.sandbox = None
    try:
        if context.needs_files:
            await volumes.prepare(pod)
        config = sandbox_config(pod, context.node_name, context.dns_server, context.cluster_domain)
        observed.new_sandbox(await context.runtime.run_pod_sandbox(config))
    except VolumeError as error:
        context.record(pod, None, "Warning", "FailedMount", str(error))
        return False
    except RuntimeFailure as failure:
        context.record(pod, None, "Warning", "FailedCreatePodSandBox",
                       f"Failed to create pod sandbox: {failure.message}")
        return False
    context.trace("sandbox", pod)
    return True
