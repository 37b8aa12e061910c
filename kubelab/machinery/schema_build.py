"""Make schemas.json.gz: Kubernetes' own type definitions, from the package kubernetes-validate, as OpenAPI v3 schemas.

    kubernetes-validate's _definitions.json ─► convert ─► schemas.json.gz (a line of JSON a definition)

Runs when kubelab is built or installed (hatch_build.py), or by `python -m kubelab.machinery.schema_build`. Needs the
standard library alone, because at build time nothing of kubelab is installed yet.

Invariant: the same package gives the same bytes.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

SOURCE = "kubernetes-json-schema/v1.37.0-local/_definitions.json"
TARGET = Path(__file__).with_name("schemas.json.gz")
PREFIX = "#/components/schemas/"

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_RESTORED: dict[str, dict[str, Any]] = {
    _QUANTITY: {
        "description": "Quantity is an exact amount of a resource, such as 500m, 2 or 1Gi: a number, optionally "
                       "with a decimal suffix (n, u, m, k, M, G, T, P, E), a binary one (Ki, Mi, Gi, Ti, Pi, Ei) or an "
                       "exponent.",
        "oneOf": [{"type": "string"}, {"type": "number"}],
    },
    _INT_OR_STRING: {
        "description": "IntOrString is a number, or a string such as a port's name or a percentage.",
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
}


def find_source() -> Path:
    """Return the definitions file of the installed package, without importing it. Raises: FileNotFoundError."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("kubernetes-validate is not installed: pip install 'kubernetes-validate==1.37.0'")
    return Path(next(iter(spec.submodule_search_locations))) / SOURCE


def convert(schema: dict[str, Any]) -> dict[str, Any]:
    """Turn one JSON schema of the package into the OpenAPI v3 schema that Kubernetes publishes."""
    out = {key: value for key, value in schema.items() if key not in ("enum", "$ref")}
    if isinstance(kind := out.get("type"), list):
        out["type"] = next(t for t in kind if t != "null")
    if isinstance(properties := out.get("properties"), dict):  # here "$ref" may be the name of a property
        out["properties"] = {name: convert(child) for name, child in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(child := out.get(key), dict):
            out[key] = convert(child)
    if isinstance(ref := schema.get("$ref"), str):
        target = {"$ref": ref.replace("#/$defs/", PREFIX)}
        return {"allOf": [target], **out} if out else target
    return out


def convert_all(source: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines of the file: first the index {names, kinds}, then the definitions in the order of `names`."""
    definitions = {name: _RESTORED.get(name) or convert(schema) for name, schema in sorted(source["$defs"].items())}
    kinds: dict[str, str] = {}
    for name, schema in definitions.items():
        gvks = schema.get("x-kubernetes-group-version-kind", [])
        if len(gvks) == 1:  # DeleteOptions and the like belong to every group
            gvk = gvks[0]
            kinds[f"{gvk['group']}/{gvk['version']}/{gvk['kind']}".lstrip("/")] = name
    return [{"names": list(definitions), "kinds": kinds}, *definitions.values()]


def build(target: Path = TARGET) -> Path:
    """Write the file and return its path."""
    lines = convert_all(json.loads(find_source().read_bytes()))
    text = b"\n".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() for line in lines)
    target.write_bytes(gzip.compress(text, mtime=0))
    return target


if __name__ == "__main__":
    written = build()
    sys.stdout.write(f"{written} ({written.stat().st_size // 1024} kB)\n")
