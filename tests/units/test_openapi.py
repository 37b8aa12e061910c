"""OpenAPI documents: operations under the names that generated clients know."""

from __future__ import annotations

import orjson
import pytest

from kubelab import units
from kubelab.machinery import schema
from kubelab.units.enums import FIELDS, with_enums
from kubelab.units.openapi import version_2

DOCUMENT = orjson.loads(version_2(units.CATALOGUE))
OPERATIONS = {one["operationId"]: one for item in DOCUMENT["paths"].values() for one in item.values()}


@pytest.mark.parametrize(("name", "action", "tag", "codes"), [
    ("readAppsV1NamespacedDeployment", "get", "apps_v1", ["200", "401"]),
    ("replaceAppsV1NamespacedDeploymentScale", "put", "apps_v1", ["200", "201", "401"]),
    ("createCoreV1NamespacedPodEviction", "post", "core_v1", ["200", "201", "202", "401"]),
    ("deleteRbacAuthorizationV1CollectionClusterRole", "deletecollection", "rbacAuthorization_v1", ["200", "401"]),
    ("deleteStorageV1StorageClass", "delete", "storage_v1", ["200", "202", "401"]),
    ("connectCoreV1GetNamespacedPodExec", "connect", "core_v1", ["200", "401"]),
    ("connectCoreV1PutNodeProxy", "connect", "core_v1", ["200", "401"]),
    ("listFlowcontrolApiserverV1FlowSchema", "list", "flowcontrolApiserver_v1", ["200", "401"])])
def test_operations_have_the_names_of_kubernetes(name: str, action: str, tag: str, codes: list[str]) -> None:
    """A client that is generated from our document has the methods that people know."""
    found = OPERATIONS[name]
    assert (found["x-kubernetes-action"], found["tags"], sorted(found["responses"])) == (action, [tag], codes)


@pytest.mark.parametrize(("name", "answer"), [
    ("deleteStorageV1StorageClass", "io.k8s.api.storage.v1.StorageClass"),
    ("deleteStorageV1CollectionStorageClass", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
    ("deleteCoreV1NamespacedSecret", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
    ("deleteResourceV1NamespacedResourceClaim", "io.k8s.api.resource.v1.ResourceClaim")])
def test_a_deletion_answers_with_a_status_or_the_object(name: str, answer: str) -> None:
    """Which of the two it is depends on the kind."""
    assert answer in orjson.dumps(OPERATIONS[name]["responses"]["200"]).decode()


def test_no_two_operations_share_a_name() -> None:
    """Each method of each path is an operation of its own."""
    assert len(OPERATIONS) == sum(len(item) for item in DOCUMENT["paths"].values())


@pytest.mark.parametrize("name", FIELDS)
def test_fields_of_few_words_list_them(name: str) -> None:
    """Each field that takes a few words only is there, and its words are sorted, as Kubernetes lists them."""
    shown = with_enums(name, schema.definition(name))["properties"]
    for field, values in FIELDS[name].items():
        found = shown[field].get("items", shown[field])
        assert found["enum"] == sorted(values) and found["type"] == "string"
