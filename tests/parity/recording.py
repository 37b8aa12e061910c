"""The recorded answers of a real Kubernetes 1.36, made comparable with ours.

    ../shared/parity/*.json ─► cases ─► normalise ─┐
    our answers ───────────────────────► normalise ─┴─► equal, or the first difference

What differs from run to run (uids, times, addresses, random suffixes) stands as <uid>, <time>, ... on both sides. What
only the recorded server adds (a vendor's CA bundle) and who manages which field are taken out on both sides.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab import units

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "parity"
BEYOND = frozenset({"managedFields", "selfLink"})
ONLY_ONE_SIDE = {"openshift-service-ca.crt", "system:coredns", "kube-root-ca.crt"}
VENDOR = "openshift-service-ca.crt"  # the recorded server's vendor puts it into every namespace and every pod
VIRTUAL = {("authorization.k8s.io", "v1"), ("authentication.k8s.io", "v1"), ("events.k8s.io", "v1")}
GROUPS = {k.group for k in units.CATALOGUE} | {group for group, _ in VIRTUAL}

_SAFE = "[bcdfghjklmnpqrstvwxz2456789]"
_PATTERNS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uid>"),
    (re.compile(r"\b(10\.96\.\d+\.\d+|192\.0\.2\.2|127\.0\.0\.1|127\.(6[4-9]|[7-9]\d|[12]\d\d)\.\d+\.\d+)"
                r"(/\d+)?\b"), "<ip>"),
    (re.compile(r"<ip>/\d+"), "<ip>"),
    (re.compile(r"\bcj-\d{8}"), "cj-<minute>"),
    (re.compile(rf"-({_SAFE}{{8,10}}|<hash>)(-{_SAFE}{{5}}|-<rand>)?(?![a-z0-9])"), r"-<hash>\2"),
    (re.compile(rf"(kube-api-access|<hash>|\b(?:g|web|j|d|db|cj-<minute>))-{_SAFE}{{5}}(?![a-z0-9])"), r"\1-<rand>"),
    (re.compile(r"current: \d+"), "current: <rv>"),
    (re.compile(r"\n@@ .* @@\n"), "\n<lines>\n"),  # of Go structs, with those of the vendor's volume counted
)
HASHES = frozenset({"pod-template-hash", "controller-revision-hash", "controller.kubernetes.io/hash"})
_HASH = re.compile(rf"{_SAFE}{{8,10}}")
_AGE = re.compile(r"\d+(s|m|h|m\d+s)")


def cases(file: str) -> list[dict[str, Any]]:
    """Load one recording; where the recordings are missing the test skips and says so."""
    path = FOLDER / f"{file}.json"
    if not path.exists():
        if os.environ.get("KUBELAB_REQUIRE") == "all":
            pytest.fail(f"{path} is missing, and everything must run")
        pytest.skip(f"the recorded answers of a real Kubernetes are not here ({FOLDER})")
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


def normalise(value: Any, key: str = "", without: frozenset[str] = BEYOND) -> Any:
    """Replace what differs from run to run; works on recorded answers and on ours alike."""
    if isinstance(value, dict):
        return {k: normalise(v, k, without) for k, v in value.items() if k not in without}
    if isinstance(value, list):
        kept = [v for v in value if not _is_one_sided(v)]
        return [normalise(v, key, without) for v in kept]
    if key == "resourceVersion":
        return "<rv>"
    if key == "nodePort" or (key in ("port", "targetPort") and isinstance(value, int) and value > 10_000):
        return "<port>"
    if not isinstance(value, str):
        return value
    if key in HASHES and _HASH.fullmatch(value):
        return "<hash>"
    if key in ("token", "serverAddress", "buildDate", "jwks_uri", "goVersion",
               "id_token_signing_alg_values_supported"):  # the recorded server signs with RSA, ours by elliptic curves
        return f"<{key}>"
    if key == "cells" and _AGE.fullmatch(value):
        return "<age>"
    for pattern, stands_for in _PATTERNS:
        value = pattern.sub(stands_for, value)
    return value


def _is_one_sided(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    if (item.get("metadata") or {}).get("name") in ONLY_ONE_SIDE:
        return True
    return bool((item.get("configMap") or {}).get("name") == VENDOR)


CUSTOM = "example.com"  # the group of the custom resource that the recording defines


def is_ours(request: dict[str, Any]) -> bool:
    """Tell whether a request goes to a kind that the catalogue has."""
    path = request["path"].partition("?")[0].strip("/").split("/")
    if path[0] == "api" and len(path) > 2:
        group, version, rest = "", path[1], path[2:]
    elif path[0] == "apis" and len(path) > 2:
        group, version, rest = path[1], path[2], path[3:]
    else:
        return True
    if not rest:
        return group in (*GROUPS, CUSTOM, "nope") or version == "v9"
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        rest = rest[2:]
    return group == CUSTOM or (group, version) in VIRTUAL or units.by_path(group, version, rest[0]) is not None


def scoped(body: Any) -> Any:
    """Leave only our kinds in a discovery document."""
    if not isinstance(body, dict):
        return body
    match body.get("kind"):
        case "APIResourceList":
            group, _, version = body["groupVersion"].rpartition("/")
            return body | {"resources": [r for r in body["resources"] if _serves(group, version, r["name"])]}
        case "APIGroupList":
            return body | {"groups": [g for g in body["groups"] if g["name"] in GROUPS]}
        case "APIGroupDiscoveryList":
            return body | {"items": list(_scoped_items(body["items"]))}
    return body


def _serves(group: str, version: str, resource: str) -> bool:
    name, _, _ = resource.partition("/")
    known = units.by_path(group, version, name) is not None or (group, version) in VIRTUAL
    return known or (group, name) == ("", "bindings")


def _scoped_items(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        group = item["metadata"].get("name", "")
        if group not in GROUPS:
            continue
        versions = [v | {"resources": [r for r in v["resources"] if _serves(group, v["version"], r["resource"])]}
                    for v in item["versions"]]
        yield item | {"versions": versions}


def first_difference(ours: Any, real: Any, path: str = "") -> str:
    """Name the first place where two answers differ, or return ""."""
    if isinstance(ours, dict) and isinstance(real, dict):
        for key in sorted(ours.keys() | real.keys()):
            if key not in ours:
                return f"{path}.{key}: missing, real has {str(real[key])[:160]}"
            if key not in real:
                return f"{path}.{key}: we have {str(ours[key])[:160]}, real has none"
            found = first_difference(ours[key], real[key], f"{path}.{key}")
            if found:
                return found
        return ""
    if isinstance(ours, list) and isinstance(real, list):
        for i, (one, other) in enumerate(zip(ours, real, strict=False)):
            found = first_difference(one, other, f"{path}[{i}]")
            if found:
                return found
        return "" if len(ours) == len(real) else f"{path}: {len(ours)} items, real has {len(real)}"
    return "" if ours == real else f"{path}: ours {str(ours)[:260]!r}, real {str(real)[:260]!r}"
