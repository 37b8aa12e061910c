"""What is asked without any object: /version, /healthz, /livez, /readyz.

Models: the non-resource endpoints of kube-apiserver
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping

from kubelab.machinery.request import Obj, Response

VERSION: Obj = {
    "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35", "gitVersion": "v1.36.2", "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.26.0", "compiler": "gc",
    "platform": "linux/amd64",
}
PROBES = ("healthz", "livez", "readyz")
Check = Callable[[], bool | Awaitable[bool]]


def text(body: str, status: int = 200) -> Response:
    return Response(status, body.encode(), {"content-type": "text/plain; charset=utf-8",
                                            "x-content-type-options": "nosniff"})


class Health:
    """Named checks, and the three probes that ask them; `only_ready` are those that /readyz alone asks."""

    def __init__(self, checks: Mapping[str, Check], only_ready: Mapping[str, Check]) -> None:
        self._checks, self._readiness = checks, {**checks, **only_ready}

    def paths(self) -> list[str]:
        """Return the path of each probe and of each check of it."""
        return [*(f"/{probe}" for probe in PROBES), *(f"/{probe}/{name}" for probe in PROBES
                for name in (self._readiness if probe == "readyz" else self._checks))]

    async def probe(self, path: str, query: Mapping[str, str]) -> Response | None:
        """Answer /healthz and its like, or one check of it; None when there is no such path."""
        probe, _, single = path.strip("/").partition("/")
        if probe not in PROBES:
            return None
        checks = self._readiness if probe == "readyz" else self._checks
        if single:
            check = checks.get(single)
            if check is None:
                return None
            if await _holds(check):
                return text("ok")
            return text(f"internal server error: {single} failed: reason withheld\n", 500)
        excluded = query.get("exclude", "")
        found = {name: name == excluded or await _holds(check) for name, check in checks.items()}
        report = "".join(f"[+]{name} excluded: ok\n" if name == excluded else
                         f"[+]{name} ok\n" if ok else f"[-]{name} failed: reason withheld\n"
                         for name, ok in found.items())
        if excluded and excluded not in found:
            report += f'warn: some health checks cannot be excluded: no matches for "{excluded}"\n'
        if not all(found.values()):
            return text(f"{report}{probe} check failed\n", 500)
        return text(f"{report}{probe} check passed\n" if "verbose" in query else "ok")


async def _holds(check: Check) -> bool:
    said = check()
    return await said if inspect.isawaitable(said) else bool(said)
