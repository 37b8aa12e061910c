"""How long a request may take: a minute, or less if the client says so with ?timeout=5s.

Reads are answered out of memory without waiting for anything; the clock runs for what may have to wait.

Models:   k8s.io/apiserver/pkg/endpoints/filters/request_deadline.go
Left out: a deadline inside the process, where callers cancel what they no longer want
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kubelab.machinery.durations import duration_s
from kubelab.machinery.errors import ApiError, bad_request
from kubelab.machinery.request import Request, Response, User
from kubelab.machinery.routes import RequestInfo

Way = Callable[[Request, RequestInfo, User], Awaitable[Response]]
REQUEST_TIMEOUT_S = 60.0
LONG_RUNNING = frozenset({"watch", "proxy"})
LONG_RUNNING_PARTS = frozenset({"attach", "exec", "proxy", "log", "portforward"})
AT_ONCE = frozenset({"get", "list"})


def limit_s(request: Request) -> float:
    """Return how many seconds a request may take. Raises BadRequest."""
    asked = request.query.get("timeout", "")
    if not asked:
        return REQUEST_TIMEOUT_S
    try:
        seconds = duration_s(asked)
    except ValueError as error:
        raise bad_request(f"invalid timeout specified in the request URL - {error}") from None
    return seconds if 0 < seconds < REQUEST_TIMEOUT_S else REQUEST_TIMEOUT_S


def is_long_running(info: RequestInfo) -> bool:
    return info.verb in LONG_RUNNING or info.subresource in LONG_RUNNING_PARTS


def timed_out() -> ApiError:
    return ApiError(504, "Timeout", "Timeout: request did not complete within requested timeout - "
                    "context deadline exceeded", {})


def around(way: Way) -> Way:
    """Return the same way with an end to it, for requests that came over the wire."""
    async def timed(request: Request, info: RequestInfo, user: User) -> Response:
        if request.wire is None or is_long_running(info):
            return await way(request, info, user)
        if "timeout" not in request.query and info.verb in AT_ONCE:
            return await way(request, info, user)
        try:
            async with asyncio.timeout(limit_s(request)):
                return await way(request, info, user)
        except TimeoutError:
            raise timed_out() from None

    return timed
