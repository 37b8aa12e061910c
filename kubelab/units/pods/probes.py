"""How a container is asked whether it is well, and what runs after its start and before its end.

Models: validateProbe, validateLifecycle and validateHandler of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.machinery.errors import invalid_value, required
from kubelab.machinery.names import regex_message
from kubelab.machinery.request import Obj
from kubelab.units import rules

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
HOOKS = ("exec", "httpGet", "tcpSocket", "sleep")
COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
BAD_HEADER = regex_message("a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+",
                           "X-Header-Name")


def hook_and_probe_errors(one: Obj, grace_s: int, path: str) -> rules.Errors:
    """What is wrong with the hooks and probes of a container that runs for long; `grace_s` bounds a sleep."""
    for key in ("postStart", "preStop"):
        hook = (one.get("lifecycle") or {}).get(key)
        if hook is not None:
            yield from _handler_errors(hook, HOOKS, f"{path}.lifecycle.{key}", grace_s)
    for key in PROBES:
        if one.get(key) is not None:
            yield from _probe_errors(one[key], key, f"{path}.{key}")


def _probe_errors(probe: Obj, key: str, path: str) -> rules.Errors:
    yield from _handler_errors(probe, HANDLERS, path)
    for field in COUNTS:
        yield from rules.not_negative(f"{path}.{field}", probe.get(field))
    grace, field = probe.get("terminationGracePeriodSeconds"), f"{path}.terminationGracePeriodSeconds"
    if grace is not None and grace <= 0:
        yield invalid_value(field, grace, "must be greater than 0")
    if key != "readinessProbe":
        if probe.get("successThreshold", 1) != 1:
            yield invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1")
    elif grace is not None:
        yield invalid_value(field, grace, "must not be set for readinessProbes")


def _handler_errors(handler: Obj, kinds: Sequence[str], path: str, grace_s: int = 0) -> rules.Errors:
    """Exactly one of the ways to act: exec, HTTP, TCP, gRPC or sleep."""
    found = [kind for kind in kinds if handler.get(kind) is not None]
    if not found:
        yield required(path, "must specify a handler type")
        return
    yield from _one_handler(found[0], handler[found[0]], f"{path}.{found[0]}", grace_s)
    for kind in found[1:]:
        yield rules.forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")


def _one_handler(kind: str, action: Any, path: str, grace_s: int) -> rules.Errors:
    if kind == "exec":
        if not action.get("command"):
            yield required(f"{path}.command")
    elif kind == "httpGet":
        yield from _http_errors(action, path)
    elif kind == "tcpSocket":
        yield from rules.port_or_name(f"{path}.port", action.get("port", 0))
    elif kind == "grpc":
        yield from rules.port_number(f"{path}.port", action.get("port", 0))
    elif not 0 <= action.get("seconds", 0) <= grace_s:
        yield invalid_value(path, action["seconds"],
                            f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})")


def _http_errors(action: Obj, path: str) -> rules.Errors:
    if not action.get("path"):
        yield required(f"{path}.path")
    yield from rules.port_or_name(f"{path}.port", action.get("port", 0))
    yield from rules.known(f"{path}.scheme", action.get("scheme", ""), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        if not name or not name.replace("-", "a").isalnum() or not name.isascii():
            yield invalid_value(f"{path}.httpHeaders", name, BAD_HEADER)
