"""Replay recorded requests against our API server and count how much agrees.

    case ─ steps ─► Handler ─► Answer ─ compare ─► Tally ─► the table at the end of the test run
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Encoded, Handler, Request, User

from .recording import BEYOND, first_difference, is_ours, normalise, scoped

ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


@dataclass(slots=True)
class Tally:
    """What one file's replay found."""

    file: str
    steps: int = 0
    statuses: int = 0
    bodies: int = 0
    not_yet: int = 0
    wrong_status: list[str] = field(default_factory=list)
    wrong_body: list[str] = field(default_factory=list)

    def line(self) -> str:
        def share(n: int) -> str:
            return f"{n:4}/{self.steps:<4}{100 * n / self.steps:6.1f} %" if self.steps else "       -        "

        return f"{self.file:<12}{share(self.statuses)}   {share(self.bodies)}   {self.not_yet:5}"


HEADER = f"{'':<12}{'status, reason':>15}   {'whole body':>15}   not yet"
TALLIES: dict[str, Tally] = {}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    warning: str = ""


Send = Callable[[dict[str, Any]], Awaitable[Answer]]


def in_process(handle: Handler) -> Send:
    """Return a sender that calls the API server's handler, with bodies as they come over the wire."""

    async def send(recorded: dict[str, Any]) -> Answer:
        url = urlsplit(recorded["path"])
        headers = {"accept": recorded.get("accept") or "application/json", "user-agent": ""}
        if recorded.get("contentType"):
            headers["content-type"] = recorded["contentType"]
        user: User | None = ADMIN
        if "token" in recorded:
            user = None
            if recorded["token"]:
                headers["authorization"] = f"Bearer {recorded['token']}"
        request = Request(recorded["method"], url.path, dict(parse_qsl(url.query, keep_blank_values=True)), headers,
                          _wire(recorded.get("body")), user)
        try:
            response = await handle(request)
        except ApiError as error:
            return Answer(error.code, error.status)
        if response.events is not None:
            return Answer(response.status, None)
        body = _read(response.encode() if response.encode is not None else response.body)
        return Answer(response.status, body, response.headers.get("warning", ""))

    return send


def _wire(body: Any) -> bytes | None:
    if body is None:
        return None
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _read(body: Any) -> Any:
    if isinstance(body, Encoded):
        body = body.raw
    if isinstance(body, bytes):
        try:
            return json.loads(body)
        except ValueError:
            return body.decode()
    return body


MEANWHILE = frozenset({"observedGeneration", "deployment.kubernetes.io/revision"})


def _comparable(body: Any) -> Any:
    """Take out what controllers wrote meanwhile, which is a matter of milliseconds; the stories compare that."""
    if isinstance(body, dict) and body.get("kind") == "Deployment":
        body = {k: v for k, v in body.items() if k != "status"}
    out = normalise(scoped(body), without=BEYOND | MEANWHILE)
    if isinstance(out, dict) and (out.get("metadata") or {}).get("annotations") == {}:
        del out["metadata"]["annotations"]
    return out


async def replay(file: str, cases: list[dict[str, Any]], send: Send) -> Tally:
    """Send every step in order and compare each answer with the recorded one."""
    tally = TALLIES[file] = Tally(file)
    for case in cases:
        requests = [s.get("request") or s.get("setup") for s in case["steps"]]
        if not all(is_ours(r) for r in requests if r):
            tally.not_yet += 1
            continue
        for number, step in enumerate(case["steps"]):
            if "sleep_s" in step:
                await asyncio.sleep(step["sleep_s"])
            elif "setup" in step:
                await send(step["setup"])
                await asyncio.sleep(0.03 if step["setup"]["path"].endswith("/pods") else 0)  # the scheduler looks at it
            else:
                judge(tally, f"{case['case']} [{number}]", await send(step["request"]), step["response"])
                await asyncio.sleep(0.003)  # the real one was asked over a network, which gave its controllers time
    return tally


def judge(tally: Tally, where: str, ours: Answer, real: dict[str, Any]) -> None:
    """Count one answer. Where the real one is a 5xx for nonsense, a clear 4xx is the better answer."""
    tally.steps += 1
    better = real["status"] >= 500 and 400 <= ours.status < 500
    reasons = [b.get("reason") if isinstance(b, dict) and b.get("kind") == "Status" else None
               for b in (ours.body, real["body"])]
    if better or (ours.status == real["status"] and reasons[0] == reasons[1]):
        tally.statuses += 1
    else:
        said = ours.body.get("message") if isinstance(ours.body, dict) else ours.body
        tally.wrong_status.append(f"{where}: ours {ours.status} {reasons[0]} ({said}), "
                                  f"real {real['status']} {reasons[1]}")
    warned = (real.get("headers") or {}).get("Warning", "")
    difference = first_difference(_comparable(ours.body), _comparable(real["body"])) \
        or ("" if ours.warning.split("\n")[-1] == warned else f"Warning: ours {ours.warning!r}, real {warned!r}")
    if better or not difference:
        tally.bodies += 1
    else:
        tally.wrong_body.append(f"{where}: {difference}")
