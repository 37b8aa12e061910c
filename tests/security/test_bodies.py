"""Bodies that are wrong, huge, deep or slow: refused in Kubernetes' words, at a bounded cost."""

from __future__ import annotations

import asyncio
import gzip
import time

import pytest

from kubelab.control_plane.apiserver import limits

from .wire import ADMIN, MAPS, Caller, admin_context, caller, config_map, connect, server

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
MERGE, PATCH = "application/merge-patch+json", "application/json-patch+json"
OTHER = "the object provided is unrecognized (must be of type ConfigMap): "
UNREAD = ("the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse "
          "error: ")
DEEP = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"},"data":' + '{"a":' * 50_000 + "1" + "}" * 50_001
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))
MERGES = "a: &a {" + ",".join(f"k{i}: 1" for i in range(10)) + "}\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{','.join(['*' + chr(97 + i)] * 9)}]}}\n" for i in range(8))

BAD: tuple[tuple[str | bytes, str, int, str], ...] = (  # body, media type, status, start of the message
    ("{oops", JSON, 400, UNREAD + "invalid character 'o' looking for beginning of object key string ({oops)"),
    ("", JSON, 400, UNREAD + "unexpected end of JSON input (<empty>)"),
    ("[]", JSON, 400, UNREAD + "json: cannot unmarshal array into Go value of type struct"),
    ("null", JSON, 422, 'ConfigMap "" is invalid: metadata.name: Required value'),
    ('{"metadata":[]}', JSON, 400, 'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal '
                                   "array into Go struct field ConfigMap.metadata of type v1.ObjectMeta"),
    ('{"metadata":{"name":5}}', JSON, 400, 'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot '
                                           "unmarshal number into Go struct field ObjectMeta.metadata.name of type"),
    (b'{"metadata":{"name":"a\xff"}}', JSON, 400, UNREAD + "invalid character"),
    (b'{"metadata":{"name":"a\x00"}}', JSON, 400, UNREAD + "invalid character"),
    ('{"metadata":{"name":"a\\u0000"}}', JSON, 422, 'ConfigMap "a\x00" is invalid: metadata.name: Invalid value: '
                                                    '"a\\u0000": a lowercase RFC 1123 subdomain must'),
    ('{"metadata":{"name":"a"},"data":{"a":' + "9" * 10_000 + "}}", JSON, 400, UNREAD + "invalid character"),
    (DEEP, JSON, 400, UNREAD + "exceeded max depth"),
    ("[" * 100_000, JSON, 400, UNREAD + "exceeded max depth"),
    ("[" * 100_000, YAML, 400, OTHER + "yaml: "),
    ("- " * 100_000 + "x", YAML, 400, OTHER + "yaml: exceeded max depth of 200"),
    ("{a: " * 100_000, YAML, 400, OTHER + "yaml: "),
    (LAUGHS, YAML, 400, OTHER + "yaml: document contains excessive aliasing"),
    (MERGES, YAML, 400, OTHER + "yaml: line "),
    ("a: &a [*a]", YAML, 400, OTHER + "yaml: exceeded max depth of 200"),
    ("a: [b", YAML, 400, OTHER + "yaml: line 1: did not find expected ',' or ']'"),
    ("x: !!python/object/apply:os.system [id]", YAML, 400, OTHER + "yaml: could not"),
    ("x", PROTOBUF, 400, OTHER + "provided data does not appear to be a protobuf message"),
    (b"k8s\x00" + b"\xff" * 50, PROTOBUF, 400, OTHER + "couldn't decode the protobuf body"),
    ("x", "text/plain", 415, "the body of the request was in an unknown format - accepted media types include: "),
    ("x" * 10_000_000, JSON, 413, "Request entity too large: limit is 3145728"),
)
REASONS = {400: "BadRequest", 413: "RequestEntityTooLarge", 415: "UnsupportedMediaType", 422: "Invalid"}


async def test_bad_bodies_are_refused_in_kubernetes_words() -> None:
    """Each of them gets its status, reason and message, and the next sound object gets in."""
    async with server() as api, caller(api, *ADMIN) as admin:
        for body, media, status, message in BAD:
            answer = await admin.post(MAPS, body, media)
            assert (answer.status, answer.reason) == (status, REASONS[status]), (body[:60], answer)
            assert answer.message.startswith(message), (body[:60], answer.message[:300])
        names = [item["metadata"]["name"] for item in (await admin.get(MAPS)).body["items"]]
        assert names == ["kube-root-ca.crt"]
        assert (await admin.post(MAPS, config_map("sound"))).status == 201


async def test_bad_patches_are_refused_and_change_nothing() -> None:
    """A patch that cannot be read, applied or stored leaves the object as it was."""
    doubling = [{"op": "copy", "from": "/data", "path": f"/data/k{i}"} for i in range(60)]
    bad: tuple[tuple[object, str, int], ...] = (
        ("{oops", MERGE, 400), ([], MERGE, 400), ({"metadata": 5}, MERGE, 422), ({"data": {"a": 5}}, MERGE, 422),
        (DEEP, MERGE, 400), ({"metadata": {"name": "other"}}, MERGE, 400), ({}, PATCH, 400), ([1], PATCH, 400),
        ([{"op": "x"}], PATCH, 422), ([{"op": "test", "path": "/data/a", "value": "z"}], PATCH, 422),
        ([{"op": "replace", "path": "", "value": 1}], PATCH, 422), (doubling, PATCH, 422),
        ([{"op": "test", "path": "/data/a", "value": "b"}] * 10_001, PATCH, 413), ({}, "application/foo", 415),
        ({}, JSON, 415), ("- " * 100_000, "application/apply-patch+yaml", 400),
        ({}, "application/apply-patch+yaml", 400))
    async with server() as api, caller(api, *ADMIN) as admin:
        before = (await admin.post(MAPS, config_map("m"))).body
        for patch, media, status in bad:
            answer = await admin.send("PATCH", f"{MAPS}/m?fieldManager=f", patch, media=media)
            assert answer.status == status, (str(patch)[:60], answer.message[:200])
            assert answer.body["status"] == "Failure"
        assert (await admin.get(f"{MAPS}/m")).body == before


async def test_a_compressed_body_is_not_opened() -> None:
    """A body that says it is gzip is read as it stands, as Kubernetes does: a bomb of 20 MB stays 20 kB."""
    async with server() as api, caller(api, *ADMIN) as admin:
        bomb = gzip.compress(b" " * 20_000_000)
        answer = await admin.send("POST", MAPS, bomb, {"Content-Encoding": "gzip"})
        assert (answer.status, answer.reason) == (400, "BadRequest")
        assert "invalid character" in answer.message


async def test_long_yaml_does_not_hold_up_others() -> None:
    """While a megabyte of YAML are read, others are answered."""
    async with server() as api, caller(api, *ADMIN) as admin:
        text = "- a\n" * 250_000
        slow = asyncio.ensure_future(admin.post(MAPS, text, YAML))
        waits = []
        while not slow.done():
            begun = time.monotonic()
            assert (await admin.get("/version")).status == 200
            waits.append(time.monotonic() - begun)
        assert (await slow).status == 400
        assert max(waits) < 1.5 and len(waits) > 5, (max(waits), len(waits))


async def test_what_a_client_wrote_becomes_no_header() -> None:
    """A warning that quotes a field's name cannot smuggle a header, or a second answer, into the response."""
    async with server() as api, caller(api, *ADMIN) as admin:
        body = config_map("inject") | {"x\r\nX-Injected: 1\r\n\r\nHTTP/1.1 200 OK": 1}
        answer = await admin.post(MAPS, body)
        assert answer.status == 201
        assert "x-injected" not in answer.headers and "unknown field" in answer.headers["warning"]


async def test_a_strangers_body_is_never_read() -> None:
    """Who may not write is told so by the head of the request alone, whatever it announces."""
    async with server() as api:
        reader, writer = await connect(api)
        writer.write(b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n" % MAPS.encode())
        async with asyncio.timeout(2):
            assert await reader.readline() == b"HTTP/1.1 403 Forbidden\r\n"
        writer.close()


async def test_a_slow_body_ends_with_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends its body drop by drop is told 408, and others do not notice."""
    monkeypatch.setattr(limits, "BODY_S", 0.3)
    async with server() as api, caller(api, *ADMIN) as admin:
        reader, writer = await connect(api, admin_context())
        writer.write(b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{" % MAPS.encode())
        await others_are_served(admin)
        async with asyncio.timeout(3):
            assert await reader.readline() == b"HTTP/1.1 408 Request Timeout\r\n"
        writer.close()


async def others_are_served(admin: Caller) -> None:
    for _ in range(5):
        assert (await admin.get("/version")).status == 200
