"""Logs of a container over HTTP: chunks of plain text, to the end or as they are written.

Models:    kubelet GetKubeletContainerLogs, validateContainerLogStatus
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kubelab.machinery.clock import parse_timestamp
from kubelab.node.kubelet.routes import HttpError, PodTarget, flag
from kubelab.node.runtime.protocol import ContainerStatus, RuntimeFailure

if TYPE_CHECKING:
    from aiohttp import web

_PULLING = ("ErrImagePull", "ImagePullBackOff")


async def serve(request: web.BaseRequest, target: PodTarget) -> web.StreamResponse:
    """Stream the log of the attempt that is asked for. Raises HttpError."""
    from aiohttp import web

    status = attempt(target, previous=flag(request.query, "previous"))
    options = log_options(request.query, target.kubelet.clock.now())
    logs = target.runtime.logs(status.id, **options)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for part in logs:
            await response.write(part)
    except RuntimeFailure as failure:
        await response.write(f"failed to read the log of {target.container}: {failure.message}\n".encode())
    await response.write_eof()
    return response


def attempt(target: PodTarget, *, previous: bool) -> ContainerStatus:
    """Return the attempt whose log is meant. Raises HttpError with the words of the kubelet."""
    name, pod = target.container, target.pod["metadata"]["name"]
    observed = target.worker.observed
    latest = observed.latest(name)
    if previous:
        ended = observed.previous(name)
        if latest is not None and latest.state == "exited" and name in target.worker.waits:
            ended = latest  # it waits for its restart: the one that ended last is the previous one
        if ended is None or ended.state != "exited":
            raise HttpError(400, f'previous terminated container "{name}" in pod "{pod}" not found')
        return ended
    if latest is not None and latest.state == "created":
        latest = observed.previous(name)  # until the next attempt has started, the last one speaks
    if latest is None:
        first = "PodInitializing" if target.pod["spec"].get("initContainers") else "ContainerCreating"
        reason = target.worker.waits.get(name, (first, ""))[0]
        words = "trying and failing to pull image" if reason in _PULLING else reason
        raise HttpError(400, f'container "{name}" in pod "{pod}" is waiting to start: {words}')
    return latest


def log_options(query: Mapping[str, str], now: float) -> dict[str, Any]:
    """Read the options of PodLogOptions. Raises HttpError."""
    options: dict[str, Any] = {"follow": flag(query, "follow"), "timestamps": flag(query, "timestamps")}
    try:
        if query.get("tailLines"):
            options["tail_lines"] = int(query["tailLines"])
        if query.get("limitBytes"):
            options["limit_bytes"] = int(query["limitBytes"])
        if query.get("sinceSeconds"):
            options["since_s"] = now - int(query["sinceSeconds"])
        elif query.get("sinceTime"):
            options["since_s"] = parse_timestamp(query["sinceTime"])
    except ValueError as error:
        raise HttpError(400, str(error)) from error
    return options
