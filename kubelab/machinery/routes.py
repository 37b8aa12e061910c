"""Read a URL path as Kubernetes reads it: what is asked, of which kind, in which namespace.

    GET /apis/apps/v1/namespaces/shop/deployments/web/status
              └─ group, version └─ namespace  └─ resource, name, subresource      ─► RequestInfo(verb="get", ...)

Invariant: the same RequestInfo decides who may do it (authorisation) and what is done (registry).
Models:    k8s.io/apiserver/pkg/endpoints/request, RequestInfoFactory
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

VERB_OF_METHOD = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What one request asks for. Without a resource it is a non-resource request such as /healthz."""

    verb: str  # get list watch create update patch delete deletecollection, or the HTTP method in lower case
    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""  # what follows a proxy subresource
    selected: str = ""  # the one name that a list or watch is limited to by fieldSelector=metadata.name=...
    selected_node: str = ""  # likewise by spec.nodeName=...

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)

    @property
    def target(self) -> str:
        """The resource as rules name it, with the subresource behind a slash."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def request_info(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """Parse method, path and query of a request."""
    parts = [part for part in path.split("/") if part]
    if "%" in path:
        parts = [unquote(part) for part in parts]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(method.lower(), path)
    watched = method == "GET" and rest[0] == "watch" and len(rest) > 1  # an old form of ?watch=1
    if watched:
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    resource = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if len(rest) > 3 and subresource != "proxy":  # whose trailing path belongs to the thing it leads to
        return RequestInfo(method.lower(), path)
    tail = _tail(path, len(parts) - len(rest) + 3) if subresource == "proxy" else ""
    verb = "watch" if watched else _verb(method, name, query)
    if verb not in ("list", "watch") or "fieldSelector" not in query:
        return RequestInfo(verb, path, group, version, namespace, resource, name, subresource, tail)
    return RequestInfo(verb, path, group, version, namespace, resource, name, subresource, tail,
                       _selected(query, "metadata.name"), _selected(query, "spec.nodeName"))


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    verb = VERB_OF_METHOD.get(method, method.lower())
    if name:
        return verb
    if verb == "get":
        return "watch" if is_true(query.get("watch")) else "list"
    return "deletecollection" if verb == "delete" else verb


def _selected(query: Mapping[str, str], field: str) -> str:
    """Return the value that the field selector demands of a field, such as the name of the only object listed."""
    text = query.get("fieldSelector", "")
    if "\\" in text:  # a comma behind one ends nothing: better to take it for no limit at all
        return ""
    for requirement in text.split(","):
        key, _, value = requirement.partition("=")
        if key == field:
            return value.removeprefix("=")
    return ""


def _tail(path: str, segments: int) -> str:
    """Return what follows the first `segments` parts of a path, as the client wrote it, a trailing slash included."""
    tail = path.split("/", segments + 1)
    return f"/{tail[-1]}" if len(tail) == segments + 2 else ""


def is_true(value: str | None) -> bool:
    """Read a boolean query parameter as Go's conversion does: present, if only as a name, and not "0" or "false"."""
    return value is not None and value.lower() not in ("0", "false")
