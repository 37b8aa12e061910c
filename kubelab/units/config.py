"""ConfigMap and Secret: settings, kept beside the program instead of inside it.

Models: pkg/registry/core/configmap and secret of kube-apiserver
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

MAX_BYTES = 1024 * 1024
GO_NAMES = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}
IMMUTABLE = "field is immutable when `immutable` is set"

# What a Secret of a type must hold.
REQUIRED_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}


def _validate_map(config: Obj) -> Sequence[FieldError]:
    return list(_map_errors(config))


def _map_errors(config: Obj) -> rules.Errors:
    data, binary = config.get("data") or {}, config.get("binaryData") or {}
    for key in sorted(data):
        yield from rules.messages(f"data[{key}]", key, rules.config_key_messages)
        if key in binary:
            yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in sorted(binary):
        yield from rules.messages(f"binaryData[{key}]", key, rules.config_key_messages)
    if sum(len(v.encode()) for v in data.values()) + _decoded_bytes(binary) > MAX_BYTES:
        yield rules.too_long("[]", MAX_BYTES)  # as upstream names the object as a whole


def _decoded_bytes(data: Mapping[str, str]) -> int:
    """Return how much base64 texts hold in all."""
    return sum(len(text) * 3 // 4 - text[-2:].count("=") for text in data.values())


def _validate_map_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(_frozen(new, old, ("data", "binaryData")))


def _frozen(new: Obj, old: Obj, fields: Sequence[str]) -> rules.Errors:
    """Once `immutable` is true it stays so, and so do the data."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield rules.forbidden("immutable", IMMUTABLE)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            yield rules.forbidden(field, IMMUTABLE)


def _default_secret(secret: Obj) -> None:
    """`stringData` is a convenience of writing: what is stored is `data`."""
    plain = secret.pop("stringData", None)
    if plain:
        data = secret.setdefault("data", {})
        data.update({k: base64.b64encode(v.encode()).decode() for k, v in plain.items()})
    if not secret.get("type"):
        secret["type"] = "Opaque"


def _validate_secret(secret: Obj) -> Sequence[FieldError]:
    return list(_secret_errors(secret))


def _secret_errors(secret: Obj) -> rules.Errors:
    data, kind = secret.get("data") or {}, secret.get("type", "")
    for key in sorted(data):
        yield from rules.messages(f"data[{key}]", key, rules.config_key_messages)
    if _decoded_bytes(data) > MAX_BYTES:
        yield rules.too_long("data", MAX_BYTES)
    if kind == "kubernetes.io/service-account-token":
        annotations = secret["metadata"].get("annotations") or {}
        if not annotations.get("kubernetes.io/service-account.name"):
            yield required("metadata.annotations[kubernetes.io/service-account.name]")
    elif kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        yield required("data[username]")
        yield required("data[password]")
    for key in REQUIRED_KEYS.get(kind, ()):
        path = f"data[{key}]"
        if key not in data or (kind == "kubernetes.io/ssh-auth" and not data[key]):
            yield required(path)
        elif kind.startswith("kubernetes.io/dockerc"):
            yield from _docker_config(path, data[key])


def _docker_config(path: str, encoded: str) -> rules.Errors:
    text = base64.b64decode(encoded).decode(errors="replace").strip()
    try:
        found = json.loads(text)
    except ValueError:
        why = (f"invalid character '{text[0]}' looking for beginning of value" if text else
               "unexpected end of JSON input")
        yield invalid_value(path, "<secret contents redacted>", why)
        return
    if found is not None and not isinstance(found, dict):
        yield invalid_value(path, "<secret contents redacted>",
                            f"json: cannot unmarshal {GO_NAMES[type(found)]} into Go value of type "
                            "map[string]interface {}")


def _validate_secret_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return [*rules.immutable("type", new.get("type"), old.get("type")), *_frozen(new, old, ("data",))]


def _secret_fields(secret: Obj) -> Mapping[str, str]:
    return {"type": secret.get("type", "")}


CONFIG_MAP = Kind(
    "ConfigMap", "configmaps", short_names=("cm",),
    validate=_validate_map, validate_update=_validate_map_update, update_first=True,
    columns=(
        NAME,
        Column("Data", lambda o, now: len(o.get("data") or ()) + len(o.get("binaryData") or ()), path="data"),
        AGE,
    ),
)

SECRET = Kind(
    "Secret", "secrets", default=_default_secret,
    validate=_validate_secret, validate_update=_validate_secret_update, update_first=True,
    columns=(
        NAME,
        Column("Type", lambda o, now: o.get("type", ""), path="type"),
        Column("Data", lambda o, now: len(o.get("data") or ()), path="data"),
        AGE,
    ),
    selectable=_secret_fields, selectable_keys=("type",),
)


def ConfigMap(name: str, data: Mapping[str, str] | None = None, *, namespace: str | None = None) -> Obj:
    """Write the manifest of a config map."""
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(data or {})}


def Secret(name: str, data: Mapping[str, str] | None = None, *, type: str = "Opaque",
           namespace: str | None = None) -> Obj:
    """Write the manifest of a secret; `data` is plain text, the API server encodes it."""
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": type, "stringData": dict(data or {})}
