"""One look at a container: a command inside it, an HTTP request, a TCP connection; for probes and hooks.

Invariant: a check answers (passed, words); CheckError means that the question itself could not be put.
Models:    pkg/probe/{exec,http,tcp}
Left out:  grpc probes
"""

from __future__ import annotations

import asyncio
import errno
from typing import Any

from kubelab.machinery.ports import mapped
from kubelab.machinery.request import Obj
from kubelab.node.runtime.protocol import Runtime, RuntimeFailure

MAX_OUTPUT_BYTES = 10 << 10
MAX_BODY_BYTES = 10 << 10
MAX_REDIRECTS = 10


class CheckError(Exception):
    """The check could not be made; the text is what an event says."""


async def exec_output(runtime: Runtime, container_id: str, command: list[str]) -> tuple[int, str]:
    """Run `command` in the container; return its exit code and what it said."""
    try:
        streams = await runtime.exec(container_id, command)
    except RuntimeFailure as failure:
        raise CheckError(failure.message) from failure
    try:
        await streams.close_stdin()
        said = bytearray()
        async for _, data in streams.output():
            said += data[: MAX_OUTPUT_BYTES - len(said)]
        return await streams.wait(), said.decode(errors="replace")
    finally:
        await streams.close()


async def exec_check(runtime: Runtime, container_id: str, command: list[str], timeout_s: float) -> tuple[bool, str]:
    try:
        async with asyncio.timeout(timeout_s):
            code, output = await exec_output(runtime, container_id, command)
    except TimeoutError:
        return False, f'command timed out: "{" ".join(command)}" timed out after {timeout_s:g}s'
    return code == 0, output


def port_of(port: int | str, container: Obj) -> int:
    """Resolve a port number or name of the container. Raises CheckError."""
    if isinstance(port, int):
        return port
    for known in container.get("ports") or ():
        if known.get("name") == port:
            return int(known["containerPort"])
    if port.isdigit():
        return int(port)
    raise CheckError(f'strconv.Atoi: parsing "{port}": invalid syntax')


def http_url(action: Obj, container: Obj, pod_ip: str) -> str:
    """Return the URL as Kubernetes writes it, with the port that the manifest names."""
    path: str = action.get("path") or "/"
    host = action.get("host") or pod_ip
    scheme = (action.get("scheme") or "HTTP").lower()
    return f"{scheme}://{host}:{port_of(action['port'], container)}{path if path.startswith('/') else '/' + path}"


async def http_get(action: Obj, container: Obj, pod_ip: str, timeout_s: float, lowest_port: int) -> tuple[int, str]:
    """GET; return status and body. Raises CheckError with the words of Go's http client."""
    import aiohttp
    from yarl import URL

    shown = http_url(action, container, pod_ip)
    url = URL(shown, encoded=True)
    if not action.get("host") and url.port is not None:
        url = url.with_port(mapped(url.port, lowest_port))
    headers = {"User-Agent": "kube-probe/1.36", "Accept": "*/*", "Connection": "close"}
    headers |= {h["name"]: h["value"] for h in action.get("httpHeaders") or ()}
    try:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            async with session.get(url, headers=headers, ssl=False, max_redirects=MAX_REDIRECTS) as response:
                body = await response.content.read(MAX_BODY_BYTES)
                return response.status, body.decode(errors="replace")
    except TimeoutError as error:
        raise CheckError(f'Get "{shown}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
                         ) from error
    except aiohttp.ClientConnectorError as error:
        raise CheckError(f'Get "{shown}": {dial_error(shown.split("/")[2], error.os_error)}') from error
    except (aiohttp.ClientError, OSError) as error:
        raise CheckError(f'Get "{shown}": {error or "EOF"}') from error


async def http_check(action: Obj, container: Obj, pod_ip: str, timeout_s: float, lowest_port: int) -> tuple[bool, str]:
    port_of(action["port"], container)  # an unknown port name is an error of the probe, not of the container
    try:
        status, body = await http_get(action, container, pod_ip, timeout_s, lowest_port)
    except CheckError as error:
        return False, str(error)
    return 200 <= status < 400, body if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"


async def tcp_check(action: Obj, container: Obj, pod_ip: str, timeout_s: float, lowest_port: int) -> tuple[bool, str]:
    port = port_of(action["port"], container)
    host = action.get("host") or pod_ip
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port if action.get("host") else mapped(port, lowest_port))
    except TimeoutError:
        return False, f"dial tcp {host}:{port}: i/o timeout"
    except OSError as error:
        return False, dial_error(f"{host}:{port}", error)
    writer.close()
    return True, ""


def dial_error(address: str, error: OSError) -> str:
    """Write a failed connect as Go does."""
    words: dict[Any, str] = {errno.ECONNREFUSED: "connect: connection refused",
                             errno.EHOSTUNREACH: "connect: no route to host",
                             errno.ENETUNREACH: "connect: network is unreachable"}
    return f"dial tcp {address}: {words.get(error.errno, str(error))}"
