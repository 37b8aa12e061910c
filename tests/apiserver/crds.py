"""Custom resource definitions for tests, and short ways to write them."""

from __future__ import annotations

from typing import Any

from kubelab.machinery.request import Obj

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
ANYTHING: Obj = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def version(name: str = "v1", schema: Obj | None = None, *, storage: bool = True, served: bool = True,
            **more: Any) -> Obj:
    return {"name": name, "served": served, "storage": storage, **more,
            "schema": {"openAPIV3Schema": schema or ANYTHING}}


def of_spec(**properties: Any) -> Obj:
    """Return the schema of an object whose spec has these properties."""
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


def crd(*versions: Obj, plural: str = "widgets", kind: str = "Widget", scope: str = "Namespaced", **spec: Any) -> Obj:
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.example.com"},
            "spec": {"group": "example.com", "scope": scope, "names": {"plural": plural, "kind": kind},
                     "versions": list(versions) or [version()], **spec}}


def widget(name: str = "w", api_version: str = "example.com/v1", **rest: Any) -> Obj:
    return {"apiVersion": api_version, "kind": "Widget", "metadata": {"name": name}, **rest}
