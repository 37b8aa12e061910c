"""What a container's variables may look like and where they may come from.

Models: ValidateEnv and ValidateEnvFrom of pkg/apis/core/validation
"""

from __future__ import annotations

import re
from typing import Any

from kubelab.machinery import quantity
from kubelab.machinery.errors import invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
ENV_FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
              "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs")
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
CONVERTIBLE = frozenset((*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "spec.hostNetwork",
                         "status.phase", "status.nominatedNodeName", "spec.host"))
RESOURCES = ("limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
             "requests.memory")
_SUBSCRIPT = re.compile(r"(metadata\.(?:annotations|labels))\['(.*)'\]")


BAD_NAME = "a valid environment variable name must consist only of printable ASCII characters other than '='"


def _is_variable(name: str) -> bool:
    return all(" " <= c <= "~" for c in name) and "=" not in name


def env_errors(container: Obj, path: str) -> rules.Errors:
    for i, variable in enumerate(container.get("env") or ()):
        field, name = f"{path}.env[{i}]", variable.get("name", "")
        if not name:
            yield required(f"{field}.name")
        elif not _is_variable(name):
            yield invalid_value(f"{field}.name", name, BAD_NAME)
        yield from _value_from(variable, f"{field}.valueFrom")
    for i, source in enumerate(container.get("envFrom") or ()):
        yield from _env_from(source, f"{path}.envFrom[{i}]")


def _value_from(variable: Obj, path: str) -> rules.Errors:
    source = variable.get("valueFrom")
    if source is None:
        return
    found = [key for key in SOURCES if source.get(key) is not None]
    for key in found:
        yield from _source(key, source[key], f"{path}.{key}")
    if not found:
        *most, last = (f"`{key}`" for key in SOURCES)
        yield invalid_value(path, "", f"must specify one of: {', '.join(most)} or {last}")
    elif variable.get("value"):
        yield invalid_value(path, "", "may not be specified when `value` is not empty")
    elif len(found) > 1:
        yield invalid_value(path, "", "may not have more than one field specified at a time")


def _source(key: str, source: Obj, path: str) -> rules.Errors:
    if key == "fieldRef":
        yield from field_ref(source, ENV_FIELDS, path)
    elif key == "resourceFieldRef":
        yield from resource_ref(source, path, volume=False)
    elif key in ("configMapKeyRef", "secretKeyRef"):
        if not source.get("name"):
            yield required(f"{path}.name")
        if not source.get("key"):
            yield required(f"{path}.key")
        else:
            yield from rules.messages(f"{path}.key", source["key"], rules.config_key_messages)


def field_ref(source: Obj, allowed: tuple[str, ...], path: str) -> rules.Errors:
    """A reference to a field of the pod itself, for variables or for downward API volumes."""
    field, where = source.get("fieldPath", ""), f"{path}.fieldPath"
    if not source.get("apiVersion"):
        yield required(f"{path}.apiVersion")
        return
    if not field:
        yield required(where)
        return
    subscript = _SUBSCRIPT.fullmatch(field)
    if subscript:
        key = subscript[2]
        yield from rules.qualified_name(where, key.lower() if "annotations" in field else key)
        return
    if field not in CONVERTIBLE:
        yield invalid_value(where, field, f"error converting fieldPath: field label not supported: {field}")
    elif field not in allowed:
        yield rules.unsupported(where, field, sorted(allowed))


def resource_ref(source: Obj, path: str, volume: bool) -> rules.Errors:
    resource = source.get("resource", "")
    if volume and not source.get("containerName"):
        yield required(f"{path}.containerName")
    if not resource:
        yield required(f"{path}.resource")
    elif resource not in RESOURCES and "hugepages-" not in resource:
        yield rules.unsupported(f"{path}.resource", resource, RESOURCES)
    yield from _divisor(resource, source.get("divisor", "0"), f"{path}.divisor")


def _divisor(resource: str, divisor: Any, path: str) -> rules.Errors:
    value = quantity.parse(divisor)
    choices = ("1m", "1") if resource.endswith("cpu") else (
        "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
    if value and value not in [quantity.parse(c) for c in choices]:
        kind = "cpu" if resource.endswith("cpu") else "memory"
        yield invalid_value(path, str(divisor), f"only divisor's values {', '.join(choices)} are supported with the "
                                                f"{kind} resource")


def _env_from(source: Obj, path: str) -> rules.Errors:
    prefix = source.get("prefix", "")
    if not _is_variable(prefix):
        yield invalid_value(f"{path}.prefix", prefix, BAD_NAME)
    found = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
    for key in found:
        if not source[key].get("name"):
            yield required(f"{path}.{key}.name")
        else:
            yield from rules.subdomain_name(f"{path}.{key}.name", source[key]["name"])
    if not found:
        yield invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(found) > 1:
        yield invalid_value(path, "", "may not have more than one field specified at a time")
