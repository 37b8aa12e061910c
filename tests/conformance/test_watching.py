"""Lists in pages and watches: nothing is lost, and everybody sees one order."""

from __future__ import annotations

import threading

from tests.conformance.conftest import Api
from tests.conformance.objects import POD, config_map


def test_a_list_in_pages(api: Api, ns: str) -> None:
    """Pages share one version and say how many items are left; without a limit everything comes at once."""
    path = f"/api/v1/namespaces/{ns}/podtemplates"
    for n in range(40):
        api.made(path, {"metadata": {"name": f"t-{n:02}"}, "template": {"metadata": {}, "spec": POD}})
    seen, token, version = [], "", ""
    while True:
        page = api.get(f"{path}?limit=17&continue={token}").body
        seen += [item["metadata"]["name"] for item in page["items"]]
        version = version or page["metadata"]["resourceVersion"]
        assert page["metadata"]["resourceVersion"] == version
        token = page["metadata"].get("continue", "")
        assert page["metadata"].get("remainingItemCount", 0) == 40 - len(seen)
        if not token:
            break
    assert seen == [f"t-{n:02}" for n in range(40)] == [i["metadata"]["name"] for i in api.get(path)["items"]]


def test_a_watch_restarts_where_it_ended(api: Api, ns: str) -> None:
    """From a version of the past only what came after is told, in order, whoever asks and how often."""
    path = f"/api/v1/namespaces/{ns}/configmaps"
    first = api.made(path, config_map("w", watch="me"))
    second = api.patch(f"{path}/w", {"data": {"a": "2"}})["metadata"]["resourceVersion"]
    api.patch(f"{path}/w", {"data": {"a": "3"}})
    api.delete(f"{path}/w")
    for since, types in (
        (first["metadata"]["resourceVersion"], ["MODIFIED", "MODIFIED", "DELETED"]),
        (second, ["MODIFIED", "DELETED"]),
    ):
        told = api.events(f"{path}?labelSelector=watch=me&resourceVersion={since}", lambda t, _: t == "DELETED")
        assert [t for t, _ in told] == types
        versions = [int(o["metadata"]["resourceVersion"]) for _, o in told]
        assert versions == sorted(versions) and versions[0] > int(since)


def test_an_object_leaves_and_enters_a_selector(api: Api, ns: str) -> None:
    """A label that no longer matches is told as a deletion, with the label back as an addition."""
    path = f"/api/v1/namespaces/{ns}/configmaps"
    made = api.made(path, config_map("w", watch="this"))
    for label, value in (("other", "1"), ("other", "2"), ("this", "3")):
        api.patch(f"{path}/w", {"metadata": {"labels": {"watch": label}}, "data": {"a": value}})
    api.delete(f"{path}/w")
    told = api.events(
        f"{path}?labelSelector=watch=this&resourceVersion={made['metadata']['resourceVersion']}",
        lambda t, o: t == "DELETED" and o["data"]["a"] == "3",
    )
    assert [(t, o["data"]["a"]) for t, o in told] == [("DELETED", "1"), ("ADDED", "3"), ("DELETED", "3")]


def test_all_watches_see_one_order(api: Api, ns: str) -> None:
    """Watches begun at every event of another one go on with exactly the events that follow it."""
    path = f"/api/v1/namespaces/{ns}/configmaps"
    since = api.get(path)["metadata"]["resourceVersion"]

    def write() -> None:
        for n in range(30):
            name = f"w-{n % 4}"
            if api.get(f"{path}/{name}").status == 404:
                api.post(path, config_map(name))
            elif n % 3:
                api.patch(f"{path}/{name}", {"data": {"n": str(n)}})
            else:
                api.delete(f"{path}/{name}")
        api.post(path, config_map("end"))

    writer = threading.Thread(target=write)
    writer.start()
    all_of_them = [
        o["metadata"]["resourceVersion"]
        for _, o in api.events(f"{path}?resourceVersion={since}", lambda _, o: o["metadata"]["name"] == "end")
    ]
    writer.join()
    for n, version in enumerate(all_of_them[:-1]):
        told = api.events(f"{path}?resourceVersion={version}", lambda _, o: o["metadata"]["name"] == "end")
        assert [o["metadata"]["resourceVersion"] for _, o in told] == all_of_them[n + 1 :]
