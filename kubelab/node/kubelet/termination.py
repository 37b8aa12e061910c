"""The last words of a container: its termination message file, or the end of its log.

Models:    kubelet getTerminationMessage, terminationMessagePolicy
"""

from __future__ import annotations

from pathlib import Path

from kubelab.machinery.request import Obj
from kubelab.node.runtime.protocol import ContainerStatus, Runtime, RuntimeFailure

MAX_FILE_BYTES, MAX_LOG_BYTES, MAX_LOG_LINES = 4096, 2048, 80


async def message(runtime: Runtime, status: ContainerStatus, container: Obj, path: Path) -> str:
    """Return the message for an ended container; "" when it left none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - MAX_FILE_BYTES))
            text = file.read(MAX_FILE_BYTES).decode(errors="replace")
    except OSError:
        text = ""
    if text or container.get("terminationMessagePolicy") != "FallbackToLogsOnError" or status.exit_code == 0:
        return text
    try:
        tail = b"".join([part async for part in runtime.logs(status.id, tail_lines=MAX_LOG_LINES)])
    except RuntimeFailure:
        return ""
    return tail[-MAX_LOG_BYTES:].decode(errors="replace")
