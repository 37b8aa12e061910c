"""The OpenAPI documents of a set of kinds: their paths, their schemas, and all that these refer to.

    kinds ─► version_3: paths and schemas of one group version        (OpenAPI 3.0)
         └─► version_2: everything in one document                    (Swagger 2.0)

Invariant: a document depends on its kinds alone, and so does its hash.
Models:    k8s.io/kube-openapi builder and builder3
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from kubelab.machinery import schema
from kubelab.machinery.request import Obj
from kubelab.units import custom_openapi
from kubelab.units.answers import answer_of
from kubelab.units.catalogue import Kind
from kubelab.units.enums import with_enums

PREFIX = "#/components/schemas/"
INFO = {"title": "Kubernetes", "version": "v1.36.2"}
EDITION = "2"  # goes up when a document of the same kinds says more: clients keep what stands under a hash
JSON = "application/json"
PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
           "application/strategic-merge-patch+json")
_TEXT, _FLAG, _COUNT = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
LISTING = {"allowWatchBookmarks": _FLAG, "continue": _TEXT, "fieldSelector": _TEXT, "labelSelector": _TEXT,
           "limit": _COUNT, "resourceVersion": _TEXT, "resourceVersionMatch": _TEXT, "sendInitialEvents": _FLAG,
           "timeoutSeconds": _COUNT, "watch": _FLAG}
WRITING = {"dryRun": _TEXT, "fieldManager": _TEXT, "fieldValidation": _TEXT}
DELETING = {"dryRun": _TEXT, "gracePeriodSeconds": _COUNT, "orphanDependents": _FLAG, "propagationPolicy": _TEXT}
OPTIONS: Mapping[str, Mapping[str, Obj]] = {
    "list": LISTING, "create": WRITING, "update": WRITING, "patch": {**WRITING, "force": _FLAG}, "delete": DELETING,
    "deletecollection": {**DELETING, **LISTING}, "get": {}}
METHODS = {"list": "get", "get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete",
           "deletecollection": "delete"}
ACTIONS = {"create": "post", "update": "put"}
WORDS = {"get": "read", "update": "replace", "deletecollection": "delete"}  # how the name of an operation begins
CODES = {"create": {"201": "Created", "202": "Accepted"}, "update": {"201": "Created"}, "patch": {"201": "Created"},
         "delete": {"202": "Accepted"}}  # besides 200 and 401
CONNECTED = frozenset({"attach", "exec", "portforward", "proxy"})
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
PATCH = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"


def digest(kinds: Iterable[Kind]) -> str:
    """Return a hash that changes when the documents of these kinds do."""
    text = INFO["version"] + EDITION + ",".join(f"{k.api_version}/{k.plural}{sorted(k.subresources)}{k.verbs}"
                                      f"{k.own.schema if k.own is not None else ''}" for k in kinds)
    return hashlib.sha512(text.encode()).hexdigest().upper()


def version_3(kinds: Iterable[Kind]) -> bytes:
    """Return the document of one group version."""
    kinds = list(kinds)
    return orjson.dumps({"openapi": "3.0.0", "info": INFO, "paths": _paths(kinds),
                         "components": {"schemas": _schemas(kinds)}})


def version_2(kinds: Iterable[Kind]) -> bytes:
    """Return the one document of all kinds."""
    kinds = list(kinds)
    paths = {path: {method: _as_version_2(operation) for method, operation in item.items()}
             for path, item in _paths(kinds).items()}
    definitions = {name: _plain(value) for name, value in _schemas(kinds, swagger_2=True).items()}
    document = orjson.dumps({"swagger": "2.0", "info": INFO, "paths": paths, "definitions": definitions})
    return document.replace(PREFIX.encode(), b"#/definitions/")


def _schemas(kinds: Iterable[Kind], *, swagger_2: bool = False) -> Obj:
    """Return the schemas of the kinds, their lists, and all that they refer to."""
    todo = [DELETE_OPTIONS, PATCH, STATUS]
    custom: Obj = {}
    for kind in kinds:
        if kind.own is not None:
            custom |= custom_openapi.definitions(kind, swagger_2=swagger_2)
        todo += [n for n in (schema.definition_name(kind.api_version, kind.kind),
                             schema.definition_name(kind.api_version, f"{kind.kind}List")) if n]
        for name in kind.subresources:
            group, version, answer, _ = answer_of(kind, name)
            found = schema.definition_name(f"{group}/{version}" if group else "v1", answer)
            todo += [found] if found else []
    found_schemas: Obj = {}
    todo += [name for definition in custom.values() for name in _references(definition) if name not in custom]
    while todo:
        name = todo.pop()
        if name in found_schemas:
            continue
        try:
            found_schemas[name] = with_enums(name, schema.definition(name))
        except KeyError:
            continue
        todo += _references(found_schemas[name])
    return dict(sorted((found_schemas | custom).items()))


def _plain(value: Any) -> Any:
    """Write a reference as Swagger 2 has it: with its description beside it, in no allOf."""
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if not isinstance(value, dict):
        return value
    out = {key: _plain(part) for key, part in value.items()}
    only = out["allOf"][0] if isinstance(out.get("allOf"), list) and len(out["allOf"]) == 1 else None
    if isinstance(only, dict) and set(only) == {"$ref"}:
        del out["allOf"]
        out.update(only)
    return out


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = value.get("$ref")
        refs = [own.removeprefix(PREFIX)] if isinstance(own, str) else []
        return refs + [ref for part in value.values() for ref in _references(part)]
    if isinstance(value, list):
        return [ref for part in value for ref in _references(part)]
    return []


def _paths(kinds: Iterable[Kind]) -> Obj:
    paths: Obj = {}
    for kind in kinds:
        collection = kind.path("{namespace}" if kind.namespaced else None)
        _add(paths, collection, kind, ("list", "create", "deletecollection"), kind.kind)
        if kind.namespaced and "list" in kind.verbs:
            _add(paths, kind.path(), kind, ("list",), kind.kind, suffix="ForAllNamespaces")
        if "get" in kind.verbs:
            _add(paths, f"{collection}/{{name}}", kind, ("get", "update", "patch", "delete"), kind.kind)
        for name in sorted(kind.subresources):
            _, _, answer, verbs = answer_of(kind, name)
            _add(paths, f"{collection}/{{name}}/{name}", kind, verbs, answer, suffix=name.title(), subresource=name)
    return paths


def _add(paths: Obj, path: str, kind: Kind, verbs: Iterable[str], answer: str, *, suffix: str = "",
         subresource: str = "") -> None:
    for verb in verbs:
        if subresource or verb in kind.verbs:
            paths.setdefault(path, {})[METHODS[verb]] = _operation(path, kind, verb, answer, suffix, subresource)


def _operation(path: str, kind: Kind, verb: str, answer: str, suffix: str, subresource: str) -> Obj:
    group, version = kind.group, kind.version
    if subresource:
        owner, owner_version, _, _ = answer_of(kind, subresource)
        group, version = (owner, owner_version) if owner else (group, version)
    api_version = f"{group}/{version}" if group else version
    own, listed = (custom_openapi.name_of(kind, name) if kind.own is not None and group == kind.group else
                   schema.definition_name(api_version, name) for name in (answer, f"{answer}List"))
    returned = not verb.startswith("delete") or (verb == "delete" and kind.returned and not subresource)
    answered = {"description": "OK", "content": _content(listed if verb == "list" else own if returned else STATUS)}
    connects = subresource in CONNECTED
    out: Obj = {
        "operationId": _operation_id(path, kind, verb, connects=connects) + suffix,
        "tags": [f"{_camel(kind)}_{kind.version}"],
        "parameters": [*_in_path(path), *({"name": name, "in": "query", "schema": type_, "uniqueItems": True}
                                          for name, type_ in sorted(OPTIONS[verb].items()))],
        "responses": {"200": answered, **({} if connects else {
            code: answered | {"description": said} for code, said in CODES.get(verb, {}).items()}),
            "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": "connect" if connects else ACTIONS.get(verb, verb),
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": answer},
    }
    if verb == "patch":
        formats = PATCHES if kind.own is None else PATCHES[:3]  # custom resources have no strategic merge
        out["requestBody"] = {"required": True, "content": {m: {"schema": {"$ref": PREFIX + PATCH}} for m in formats}}
    elif verb in ("create", "update"):
        out["requestBody"] = {"required": True, "content": _content(own)}
    elif verb.startswith("delete"):
        out["requestBody"] = {"content": _content(DELETE_OPTIONS)}
    return out


def _operation_id(path: str, kind: Kind, verb: str, *, connects: bool) -> str:
    """Name an operation as generated clients know it: readAppsV1NamespacedDeployment."""
    group = _camel(kind)
    what = f"{'Namespaced' if '{namespace}' in path else ''}{kind.kind}"
    if connects:
        return f"connect{group[0].upper()}{group[1:]}{kind.version.title()}{METHODS[verb].title()}{what}"
    many = "Collection" if verb == "deletecollection" else ""
    return f"{WORDS.get(verb, verb)}{group[0].upper()}{group[1:]}{kind.version.title()}{many}{what}"


def _camel(kind: Kind) -> str:
    """Write a group in one word: core, apps, rbacAuthorization."""
    first, *rest = (kind.group.removesuffix(".k8s.io") or "core").split(".")
    return first + "".join(part.title() for part in rest)


def _in_path(path: str) -> list[Obj]:
    return [{"name": name, "in": "path", "required": True, "schema": _TEXT, "uniqueItems": True}
            for name in ("name", "namespace") if f"{{{name}}}" in path]


def _content(name: str | None) -> Obj:
    return {JSON: {"schema": {"$ref": PREFIX + name} if name else {"type": "object"}}}


def _as_version_2(operation: Obj) -> Obj:
    """Write an operation as Swagger 2 has it: types beside the parameter, the body as one of them."""
    parameters = [{**{k: v for k, v in p.items() if k != "schema"}, **p["schema"]} for p in operation["parameters"]]
    out = {**operation, "parameters": parameters, "produces": [JSON], "consumes": ["*/*"], "schemes": ["https"]}
    body = out.pop("requestBody", None)
    if body is not None:
        parameters.append({"name": "body", "in": "body", "schema": next(iter(body["content"].values()))["schema"]})
    ok = out["responses"]["200"]
    out["responses"] = {**out["responses"], "200": {"description": "OK", "schema": ok["content"][JSON]["schema"]}}
    return out
