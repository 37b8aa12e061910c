"""What a container's variables may look like and where they may come from.

Models: ValidateEnv and ValidateEnvFrom of pkg/apis/core/validation
"""

from __future__ import annotations

import re

from kubelab.machinery import quantity
from kubelab.machinery.errors import invalid_value, required
from kubelab.machinery.names import dns1123_subdomain_errors
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.pods.mounts import file_path

SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
ENV_FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
              "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs")
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
CONVERTIBLE = frozenset((*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase"))
RENAMED = {"spec.host": "spec.nodeName"}
RESOURCES = ("limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
             "requests.memory")
BYTES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
# of what: the divisors that there are, and how upstream calls it
DIVISORS = {"cpu": ("1m and 1", ("1m", "1"), "cpu"), "memory": (", ".join(BYTES), BYTES, "memory"),
            "ephemeral-storage": (", ".join(BYTES), BYTES, "local ephemeral storage"),
            "hugepages": (", ".join(BYTES), BYTES, "hugepages")}
_SUBSCRIPT = re.compile(r"(.*)\['(.*)'\]")
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
        yield from _env_from(source, f"{path}.envFrom", i)


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
        yield from rules.subdomain_name(f"{path}.name", source.get("name", ""))
        if not source.get("key"):
            yield required(f"{path}.key")
        else:
            yield from rules.messages(f"{path}.key", source["key"], rules.config_key_messages)
    else:
        yield from _file_key(source, path)


def _file_key(source: Obj, path: str) -> rules.Errors:
    for key in ("key", "path", "volumeName"):
        if not source.get(key):
            yield required(f"{path}.{key}")
    yield from file_path(f"{path}.path", source.get("path", ""))


def field_ref(source: Obj, allowed: tuple[str, ...], path: str) -> rules.Errors:
    """A reference to a field of the pod itself, for variables or for downward API volumes."""
    given, where, version = source.get("fieldPath", ""), f"{path}.fieldPath", source.get("apiVersion", "")
    for key in ("apiVersion", "fieldPath"):
        if not source.get(key):
            yield required(f"{path}.{key}")
            return
    subscript, field = _SUBSCRIPT.fullmatch(given), RENAMED.get(given, given)
    why = ""
    if version != "v1":
        why = f"unsupported pod version: {version}"
    elif subscript and subscript[1] not in ("metadata.annotations", "metadata.labels"):
        why = f"field label does not support subscript: {given}"
    elif not subscript and field not in CONVERTIBLE:
        why = f"field label not supported: {given}"
    if why:
        yield invalid_value(where, given, f"error converting fieldPath: {why}")
    elif subscript:
        key = subscript[2]
        yield from rules.qualified_name(path, key.lower() if subscript[1] == "metadata.annotations" else key)
    elif field not in allowed:
        yield rules.unsupported(where, field, sorted(allowed))


def resource_ref(source: Obj, path: str, volume: bool) -> rules.Errors:
    """A reference to what a container asks for or may use."""
    resource = source.get("resource", "")
    huge = resource.startswith(("requests.hugepages-", "limits.hugepages-"))
    if volume and not source.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in RESOURCES and not huge:
        yield rules.unsupported(f"{path}.resource", resource, RESOURCES)
    divisor = quantity.parse(source.get("divisor", "0"))
    of = "hugepages" if huge else resource.partition(".")[2] if resource in RESOURCES else ""
    if divisor and of:
        shown, choices, name = DIVISORS[of]
        if quantity.canonical(source["divisor"]) not in choices:
            yield invalid_value(f"{path}.divisor", resource,
                                f"only divisor's values {shown} are supported with the {name} resource")


def _env_from(source: Obj, path: str, i: int) -> rules.Errors:
    prefix = source.get("prefix", "")
    if not _is_variable(prefix):
        yield invalid_value(f"{path}[{i}].prefix", prefix, BAD_NAME)
    found = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
    for key in found:
        name = source[key].get("name", "")
        if not name:
            yield required(f"{path}[{i}].{key}.name")
        elif dns1123_subdomain_errors(name[:-2] + "a" if len(name) > 1 and name.endswith("-") else name):
            yield from rules.subdomain_name(f"{path}[{i}].{key}.name", name)
    if not found:
        yield invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(found) > 1:
        yield invalid_value(path, "", "may not have more than one field specified at a time")
