"""postStart and preStop: run a command, ask a URL, or sleep, beside the container's own process.

Models:    pkg/kubelet/lifecycle/handlers.go
Left out:  tcpSocket handlers, which Kubernetes refuses too
"""

from __future__ import annotations

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.checks import CheckError, exec_output, http_get
from kubelab.node.kubelet.context import Context


class HookFailed(Exception):
    """The hook ran and failed."""


async def run_hook(context: Context, container: Obj, container_id: str, hook: Obj, pod_ip: str) -> None:
    """Run one lifecycle handler to its end. Raises HookFailed."""
    if not context.needs_files and "sleep" not in hook:
        return  # a hollow pod has nobody to answer; its hooks succeed, as its probes do
    if "exec" in hook:
        command = hook["exec"].get("command") or []
        try:
            code, output = await exec_output(context.runtime, container_id, command)
        except CheckError as error:
            raise HookFailed(str(error)) from error
        if code != 0:
            raise HookFailed(f"Exec lifecycle hook ([{' '.join(command)}]) for Container \"{container['name']}\" "
                             f"failed - error: command '{' '.join(command)}' exited with {code}: {output}")
    elif "httpGet" in hook:
        try:
            await http_get(hook["httpGet"], container, pod_ip, 30.0, context.lowest_port)
        except CheckError as error:
            raise HookFailed(str(error)) from error
    elif "sleep" in hook:
        await context.clock.sleep(float(hook["sleep"]["seconds"]))
