"""Objects that several stories begin with."""

from __future__ import annotations

from tests.conformance.conftest import Api, Obj

POD = {"containers": [{"name": "c", "image": "nginx"}]}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEPLOYMENT: Obj = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD},
    },
}


def config_map(name: str, **labels: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


def crd(plural: str, schema: Obj, group: str = "story.example.com", **version: object) -> Obj:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "labels": {"story": plural}},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "plural": plural,
                "singular": plural[:-1],
                "kind": plural[:-1].title(),
                "listKind": f"{plural[:-1].title()}List",
            },
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
            ],
        },
    }


def established(api: Api, definition: Obj) -> str:
    """Create a definition and return where its objects are, once they can be there."""
    api.made(CRDS, definition)
    api.until(
        f"{CRDS}/{definition['metadata']['name']}",
        lambda o: (
            o
            and any(
                c["type"] == "Established" and c["status"] == "True"
                for c in (o.get("status") or {}).get("conditions") or ()
            )
        ),
    )
    group, version = definition["spec"]["group"], definition["spec"]["versions"][0]["name"]
    path = f"/apis/{group}/{version}"
    api.until(path, bool)
    return path
