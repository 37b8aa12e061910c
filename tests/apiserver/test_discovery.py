"""Discovery, OpenAPI and tables describe the same kinds."""

from __future__ import annotations

import orjson
import pytest

from kubelab.units import find
from kubelab.units.discovery import storage_version_hash

from .conftest import World, config_map


async def test_both_forms_name_the_same_resources(world: World) -> None:
    """The aggregated document and the lists of each version agree."""
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
    aggregated = (await world.send("GET", "/apis", headers=accept)).body
    assert isinstance(aggregated, bytes)
    for group in orjson.loads(aggregated)["items"]:
        for version in group["versions"]:
            path = f"/apis/{group['metadata']['name']}/{version['version']}"
            listed = (await world.send("GET", path)).body
            assert isinstance(listed, dict)
            plain = [r["name"] for r in listed["resources"] if "/" not in r["name"]]
            assert plain == [r["resource"] for r in version["resources"]]


def test_the_storage_hash_is_the_real_one() -> None:
    """The hash is what a real API server computes for the same kind."""
    assert storage_version_hash(find("configmaps")) == "qFsyl6wFWjQ="


@pytest.mark.parametrize(("path", "status"), [("/apis/nope", 404), ("/apis/apps/v9", 404), ("/nope", 404), ("/", 200)])
async def test_what_is_not_there_is_404(world: World, path: str, status: int) -> None:
    """Unknown groups, versions and paths are not found."""
    assert (await world.send("GET", path)).status == status


async def test_openapi_offers_what_kubectl_needs(world: World) -> None:
    """v3 has schemas and says that patches take fieldValidation; the index's hash is the ETag."""
    index = (await world.send("GET", "/openapi/v3")).body
    assert isinstance(index, dict)
    url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    response = await world.send("GET", url)
    document = orjson.loads(response.body)  # type: ignore[arg-type]
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert {"fieldValidation", "dryRun", "fieldManager", "force"} <= {p["name"] for p in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "io.k8s.api.core.v1.PodSpec" in document["components"]["schemas"]
    assert (await world.send("GET", url, headers={"if-none-match": response.headers["etag"]})).status == 304


async def test_openapi_v2_refers_to_its_own_definitions(world: World) -> None:
    """Every reference of the Swagger document leads to a definition in it."""
    import re

    raw = (await world.send("GET", "/openapi/v2")).body
    assert isinstance(raw, bytes)
    definitions = orjson.loads(raw)["definitions"]
    assert {name.decode() for name in re.findall(rb'"#/definitions/([^"]+)"', raw)} <= set(definitions)


async def test_a_table_has_columns_and_rows(world: World) -> None:
    """kubectl's table carries the metadata of each object, or all of it, or nothing."""
    await world.client.create("cm", config_map("a"))
    table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    path = "/api/v1/namespaces/default/configmaps"
    shown = {include: (await world.send("GET", f"{path}?includeObject={include}", headers=table)).body
             for include in ("Metadata", "Object", "None")}
    first = shown["Metadata"]
    assert isinstance(first, dict)
    assert [c["name"] for c in first["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert first["rows"][0]["cells"] == ["a", 1, "0s"]
    assert first["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert shown["Object"]["rows"][0]["object"]["data"] == {"a": "b"}  # type: ignore[call-overload, index]
    assert shown["None"]["rows"][0]["object"] is None  # type: ignore[call-overload, index]


async def test_a_watch_can_be_a_table_too(world: World) -> None:
    """Only the first event of a table watch carries the columns."""
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    response = await world.send("GET", "/api/v1/configmaps?watch=1", headers=accept)
    seen: list[bool] = []
    response.events.drain_to(lambda event: seen.append(event.obj["columnDefinitions"] is not None))  # type: ignore[union-attr]
    await world.client.create("cm", config_map("a"))
    await world.client.create("cm", config_map("b"))
    assert seen == [True, False]


async def test_what_cannot_be_had_is_406(world: World) -> None:
    """An Accept header that names nothing we have is refused."""
    response = await world.send("GET", "/api/v1/configmaps", headers={"accept": "text/html"})
    assert response.status == 406


async def test_what_a_client_has_already_is_not_sent_again(world: World) -> None:
    """Aggregated discovery and OpenAPI documents carry the hash of what they say, until that changes."""
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    first = await world.send("GET", "/apis", headers=accept)
    assert (first.headers["vary"], first.headers["cache-control"]) == ("Accept", "public")
    assert (await world.send("GET", "/apis", headers={**accept, "if-none-match": first.headers["etag"]})).status == 304
    index = (await world.send("GET", "/openapi/v3")).body
    assert isinstance(index, dict)
    address = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    assert (await world.send("GET", address)).headers["cache-control"] == "public, immutable"
    moved = await world.send("GET", "/openapi/v3/apis/apps/v1?hash=OLD")
    assert (moved.status, moved.headers["location"]) == (301, address)


async def test_the_root_names_what_there_is(world: World) -> None:
    """Paths are sorted, and the checks of each probe are among them."""
    root = (await world.send("GET", "/")).body
    assert isinstance(root, dict)
    paths = root["paths"]
    assert paths == sorted(paths) and {"/readyz/etcd", "/livez/ping", "/apis/apps/v1"} <= set(paths)


async def test_a_check_may_be_left_out(world: World) -> None:
    """A probe says which check it left out, and which it does not know."""
    async def report(excluded: str) -> bytes:
        body = (await world.send("GET", f"/livez?verbose&exclude={excluded}")).body
        assert isinstance(body, bytes)
        return body

    assert b"[+]etcd excluded: ok\n" in await report("etcd")
    assert b'warn: some health checks cannot be excluded: no matches for "moon"\n' in await report("moon")
