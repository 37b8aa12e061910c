"""The audit trail: who asked what, when, and what came of it, one line of JSON an event.

    request ─► policy ─► RequestReceived ─► the rest of the pipeline ─► ResponseStarted (a watch) ─► ResponseComplete
                │ None                                                                    └─ a fault of ours: Panic
                └─► nothing is written

Invariant: without a policy none of this runs; an event is written before its answer leaves.
Models:    k8s.io/apiserver/pkg/endpoints/filters/audit.go, plugin/pkg/audit/log
Left out:  webhook backends, the reason of an authorisation
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from kubelab.client.audit_log import AuditLog
from kubelab.control_plane.apiserver.decode import read_body
from kubelab.control_plane.apiserver.watch import Watcher
from kubelab.machinery import metrics
from kubelab.machinery.clock import Clock, micro_timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Encoded, Obj, Request, Response, User
from kubelab.machinery.routes import RequestInfo
from kubelab.machinery.serializer import Malformed
from kubelab.machinery.yaml import load_values
from kubelab.units.audit_policy import AuditPolicy, Verdict

Way = Callable[[Request, RequestInfo, User], Awaitable[Response]]
WhoAsks = Callable[[Request], User | None]
DECISION = "authorization.k8s.io/decision"
REASON = "authorization.k8s.io/reason"
EVENTS = metrics.counter("apiserver_audit_event_total",
                         "Counter of audit events generated and sent to the audit backend.")
LEVELS = metrics.counter("apiserver_audit_level_total",
                         "Counter of policy levels for audit events (1 per request).", ("level",))
WITH_BODY = frozenset({"Request", "RequestResponse"})


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What to write down (a policy, or the file it stands in), and where to (a path, or "-")."""

    policy: Obj | Path | str
    log: Path | str
    max_mb: float = 100
    max_backups: int = 0
    max_days: int = 0

    def open(self, clock: Clock, who_asks: WhoAsks) -> Audit:
        """Begin the trail. Raises ValueError, which says what is wrong with the policy; OSError."""
        log = AuditLog(self.log, clock, max_mb=self.max_mb, max_backups=self.max_backups, max_days=self.max_days)
        return Audit(read(self.policy), log, clock, who_asks)


class Audit:
    """Writes down what a policy wants to know. `who_asks` names the caller behind an impersonation."""

    def __init__(self, policy: AuditPolicy, log: AuditLog, clock: Clock, who_asks: WhoAsks) -> None:
        self._policy, self._log, self._clock, self._who_asks = policy, log, clock, who_asks

    def around(self, way: Way) -> Way:
        """Return the same way with an audit trail."""
        async def audited(request: Request, info: RequestInfo, user: User) -> Response:
            impersonating = "impersonate-user" in request.headers
            asker = (self._who_asks(request) if impersonating else None) or user
            verdict = self._policy.of(asker, info)
            LEVELS.add((verdict.level,))
            if verdict.level == "None":
                return await way(request, info, user)
            event = self._begin(request, info, asker, verdict)
            if impersonating:
                event["impersonatedUser"] = user.info
            return await self._follow(event, verdict, way(request, info, user), request)

        return audited

    async def _follow(self, event: Obj, verdict: Verdict, answer: Awaitable[Response], request: Request) -> Response:
        self._write(event, verdict, "RequestReceived")
        if event.get("objectRef") and request.body:
            _add_request(event, request, verdict)
        try:
            response = await answer
        except ApiError as error:
            allowed = "forbid" if error.code == 403 else "allow"
            self._complete(event, verdict, error.code, error.status, allowed, request.notes)
            raise
        except Exception as error:
            event["responseStatus"] = {"metadata": {}, "status": "Failure", "message": repr(error),
                                       "reason": "InternalError", "code": 500}
            self._write(event, verdict, "Panic")
            raise
        response.headers["audit-id"] = event["auditID"]
        body = response.body.obj if isinstance(response.body, Encoded) else response.body
        if isinstance(response.events, Watcher):
            self._started(event, verdict, response.status, response.events)
        else:
            self._complete(event, verdict, response.status, body if isinstance(body, dict) else None, "allow",
                           request.notes)
        return response

    def _started(self, event: Obj, verdict: Verdict, status: int, watcher: Watcher) -> None:
        event["responseStatus"] = {"metadata": {}, "code": status}
        event["annotations"] = {DECISION: "allow", REASON: ""}
        self._write(event, verdict, "ResponseStarted")
        watcher.on_close.append(lambda: self._write(event, verdict, "ResponseComplete"))

    def _begin(self, request: Request, info: RequestInfo, user: User, verdict: Verdict) -> Obj:
        query = "&".join(f"{key}={value}" for key, value in request.query.items())
        event: Obj = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": verdict.level,
                      "auditID": request.headers.get("audit-id") or str(uuid.uuid4()), "stage": "",
                      "requestURI": f"{request.path}?{query}" if query else request.path, "verb": info.verb,
                      "user": user.info, "sourceIPs": _sources(request),
                      "userAgent": request.headers.get("user-agent", "")}
        if info.is_resource:
            parts = {"resource": info.resource, "namespace": info.namespace, "name": info.name,
                     "apiGroup": info.group, "apiVersion": info.version, "subresource": info.subresource}
            event["objectRef"] = {key: value for key, value in parts.items() if value}
        event["requestReceivedTimestamp"] = micro_timestamp(self._clock.now())
        return event

    def _complete(self, event: Obj, verdict: Verdict, code: int, body: Obj | None, decision: str,
                  notes: Mapping[str, str] | None = None) -> None:
        event["responseStatus"] = {"metadata": {}, "code": code}
        if body is not None and body.get("kind") == "Status":
            event["responseStatus"] |= {key: body[key] for key in ("status", "message", "reason") if key in body}
        if verdict.level == "RequestResponse" and body is not None:
            event["responseObject"] = _shown(body, verdict)
        event["annotations"] = {DECISION: decision, REASON: "", **(notes or {})}
        self._write(event, verdict, "ResponseComplete")

    def _write(self, event: Obj, verdict: Verdict, stage: str) -> None:
        if stage not in verdict.omit_stages:
            EVENTS.add()
            self._log.write(orjson.dumps(event | {"stage": stage,
                                                  "stageTimestamp": micro_timestamp(self._clock.now())}))

    def close(self) -> None:
        self._log.close()


def read(policy: Obj | Path | str) -> AuditPolicy:
    """Read a policy from a dict, or from the YAML file of this name. Raises ValueError, OSError."""
    if isinstance(policy, dict):
        return AuditPolicy(policy)
    found: list[Any] = load_values(Path(policy).read_text())
    if len(found) != 1 or not isinstance(found[0], dict):
        raise ValueError(f"{policy} is to hold one audit policy")
    return AuditPolicy(found[0])


def _sources(request: Request) -> list[str]:
    """Name the addresses that a request came through, the first sender's first."""
    forwarded = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",") if part.strip()]
    remote = getattr(request.wire, "remote", None) or "127.0.0.1"
    return [*forwarded, remote] if remote not in forwarded else forwarded


def _add_request(event: Obj, request: Request, verdict: Verdict) -> None:
    try:
        sent, _ = read_body(request)
    except (ApiError, Malformed):
        return  # it will be refused, in words that the answer's status repeats
    reference = event["objectRef"]
    metadata = sent.get("metadata") if isinstance(sent, dict) else None
    if isinstance(metadata, dict):
        for key in ("name", "uid", "resourceVersion"):
            if metadata.get(key):
                reference.setdefault(key, metadata[key])
    if verdict.level in WITH_BODY:
        event["requestObject"] = _shown(sent, verdict)


def _shown(body: Any, verdict: Verdict) -> Any:
    """Return a body as the log shows it; the object itself is shared and stays as it is."""
    if not verdict.omit_managed_fields or not isinstance(body, dict):
        return body
    shown = {**body}
    if isinstance(shown.get("metadata"), dict):
        shown["metadata"] = {key: value for key, value in shown["metadata"].items() if key != "managedFields"}
    if isinstance(shown.get("items"), list):
        shown["items"] = [_shown(item, verdict) for item in shown["items"]]
    return shown
