"""Paths, queries, headers and methods that make no sense, and hosts that are not us."""

from __future__ import annotations

import asyncio
import logging

import pytest

from .wire import ADMIN, MAPS, admin_context, bare, caller, config_map, raw, server

POD = "/api/v1/namespaces/default/pods"
INT = 'strconv.ParseInt: parsing "{}": invalid syntax'
UINT = 'invalid resource version: resourceVersion: Invalid value: "{0}": strconv.ParseUint: parsing "{0}": {1}'
HUGE = "9" * 30

QUERIES: tuple[tuple[str, str], ...] = (  # query, start of the message of a 400
    ("limit=x", INT.format("x")), ("limit=1_000", INT.format("1_000")),
    (f"limit={HUGE}", f'strconv.ParseInt: parsing "{HUGE}": value out of range'),
    ("timeoutSeconds=x", INT.format("x")), ("watch=1&timeoutSeconds=x", INT.format("x")),
    ("resourceVersion=abc", UINT.format("abc", "invalid syntax")),
    ("resourceVersion=-1", UINT.format("-1", "invalid syntax")),
    (f"resourceVersion={HUGE}", UINT.format(HUGE, "value out of range")),
    ("labelSelector=((", "found '(', expected: !, identifier, or 'end of string'"),
    ("labelSelector=a%20in%20(", "unable to parse requirement: found ''"),
    ("labelSelector=%FF%FE", "unable to parse requirement: "),
    ("fieldSelector=%00", "invalid selector: "), ("fieldSelector=nope=1", '"nope" is not a known field selector'),
    ("continue=garbage", "invalid continue token: continue key is not valid"),
    ("continue=Z2FyYmFnZQ", "invalid continue token: continue key is not valid"),
    ("continue=eyJ2IjoxfQ", "invalid continue token"),
)


async def test_bad_queries_are_refused_in_kubernetes_words() -> None:
    """Each parameter that cannot be read is a 400 that quotes it; a negative limit is none."""
    async with server() as api, caller(api, *ADMIN) as admin:
        for query, message in QUERIES:
            answer = await admin.get(f"{MAPS}?{query}")
            assert (answer.status, answer.reason) == (400, "BadRequest"), (query, answer)
            assert answer.message.startswith(message), (query, answer.message)
        assert (await admin.get(f"{MAPS}?limit=-1")).status == 200
        far = await admin.get(f"{MAPS}?resourceVersion=99999999")
        assert (far.status, far.reason) == (504, "Timeout")
        for query in ("gracePeriodSeconds=x", "propagationPolicy=Bogus", "dryRun=Some"):
            assert (await admin.send("DELETE", f"{MAPS}/kube-root-ca.crt?{query}")).status in (400, 422)
        assert (await admin.get(f"{MAPS}/kube-root-ca.crt")).status == 200


async def test_names_lead_nowhere_else() -> None:
    """Dots, slashes and per cents in a name, plain or encoded, are refused or find nothing."""
    async with server() as api, caller(api, *ADMIN) as admin:
        for name, why in (("%2e%2e", '"..": may not be \'..\''), ("%2E", '".": may not be \'.\''),
                          ("%2e%2e%2f%2e%2e%2fsecrets", "may not contain '/'"), ("a%2Fb", "may not contain '/'"),
                          ("a%25b", "may not contain '%'")):
            for method in ("GET", "DELETE"):
                answer = await admin.send(method, f"{MAPS}/{name}")
                assert (answer.status, answer.reason) == (400, "BadRequest"), (name, answer)
                assert answer.message.startswith("Name parameter invalid: ") and answer.message.endswith(why)
        for path in (f"{MAPS}/a%00b", f"{MAPS}/%FF", "/api/v1/namespaces/%2e%2e/configmaps/x", "/apis/%00",
                     "/openapi/v3/..%2f..%2f..%2fetc%2fpasswd", "/static/%2e%2e/etc/passwd", f"{POD}/x/log/y/z"):
            assert (await admin.get(path)).status == 404, path


async def test_unknown_paths_and_methods() -> None:
    """What is not served is 404; what is, but not by this method, is 405; both are Statuses."""
    async with server() as api, caller(api, *ADMIN) as admin:
        for path in ("/api/v1/nope", "/apis/apps/v9/x", "/api/v9/pods", f"{POD}/x/nope", f"{MAPS}/x/status"):
            answer = await admin.get(path)
            assert (answer.status, answer.message) == (404, "the server could not find the requested resource"), path
        for method, path in (("PUT", MAPS), ("PATCH", MAPS), ("POST", f"{MAPS}/x"), ("TRACE", MAPS), ("OPTIONS", MAPS)):
            media = "application/merge-patch+json" if method == "PATCH" else "application/json"
            answer = await admin.send(method, path, {} if method.startswith("P") else None, media=media)
            assert (answer.status, answer.reason) == (405, "MethodNotAllowed"), (method, path, answer)


async def test_what_nobody_speaks_is_not_acceptable() -> None:
    """An Accept that names nothing we have is 406 and lists what there is."""
    async with server() as api, caller(api, *ADMIN) as admin:
        for accept in ("text/html", "application/xml", "garbage"):
            answer = await admin.get(MAPS, Accept=accept)
            assert (answer.status, answer.reason) == (406, "NotAcceptable")
            assert "Available representations: application/json" in answer.message
        for accept in ("*/*", "application/*", "application/json;q=x", ""):
            assert (await admin.get(MAPS, Accept=accept)).status == 200, accept


HEADS = (
    b"garbage", b"GET", b"GET / HTTP/9.9", b"PRI * HTTP/2.0\r\n\r\nSM", b"GET /a\xffb HTTP/1.1\r\nHost: localhost",
    b"GET /version HTTP/1.1", b"GET /version HTTP/1.1\r\nHost: localhost\r\nHost: b",
    b"GET /version HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)),
    b"GET /version HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200_000,
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost",
    b"GET /version HTTP/1.1\r\nHost: localhost\r\nA b: c", b"GET /version HTTP/1.1\r\nHost: localhost\r\nX: a\rb",
    b"GET /version HTTP/1.1\r\nHost: localhost\r\nX: \x00",
    b"POST /version HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1",
    b"POST /version HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    b"POST /version HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: foo",
)


async def test_bad_http_is_refused_and_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Heads that are no HTTP, too long, or could be read two ways are 400, and leave nothing in the log."""
    with caplog.at_level(logging.DEBUG, logger="kubelab"):
        async with server() as api, caller(api, *ADMIN) as admin:
            for head in HEADS:
                answer = await raw(api, head + b"\r\n\r\n", admin_context())
                assert answer[:13] in (b"HTTP/1.0 400 ", b"HTTP/1.1 400 "), (head[:60], answer[:80])
            assert (await admin.get("/version")).status == 200
    assert [record for record in caplog.records if record.name.startswith("kubelab")] == []


async def test_what_a_client_wrote_forges_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A path and a name with line ends in them reach neither the log nor the journal unescaped."""
    async with server() as api, caller(api, *ADMIN) as admin:
        for path in (f"{MAPS}/a%0D%0AERROR%20forged", "/apis/a%0Ab/v1/x", f"/healthz%0A?x=%0A{'y' * 100}"):
            await admin.get(path, **{"User-Agent": "x"})
        await admin.post(MAPS, config_map("a\r\nERROR forged"))
        assert not any("\n" in entry.subject or "\r" in entry.subject for entry in api.journal.entries(0))
    assert not any("\n" in record.getMessage() for record in caplog.records)


async def test_a_page_of_another_name_is_turned_away() -> None:
    """A Host that is not ours is 421, so that a web page rebound to our address gets nothing; tunnels still work."""
    async with server() as api:
        async def status(host: str) -> int:
            head = b"GET /version HTTP/1.1\r\nConnection: close\r\nHost: %b\r\n\r\n" % host.encode()
            return int((await raw(api, head, bare())).split()[1])

        for host in ("evil.example", "evil.example:6443", "localhost.evil.example", "127.0.0.1.evil.example", "2130"):
            assert await status(host) == 421, host
        for host in ("localhost", f"localhost:{api.port}", "127.0.0.1:1", "[::1]:8443", "10.96.0.1", "kubernetes",
                     "kubernetes.default.svc", "KUBERNETES.default", "a.localhost:1"):
            assert await status(host) == 200, host
        async with caller(api, *ADMIN) as admin:
            answer = await admin.get("/api", Host="evil.example")
            assert (answer.status, answer.reason) == (421, "MisdirectedRequest")
            assert answer.message.startswith('this API server is not known as "evil.example"; it answers to')


async def test_requests_of_one_connection_stay_apart() -> None:
    """Many requests sent at once on one connection are answered in turn, whatever one of them is."""
    async with server() as api:
        one = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        paths = (b"/version", b"/nope", b"/api/v1/nope", MAPS.encode() + b"?limit=x", b"/healthz") * 20
        data = b"".join(one % path for path in paths) + last
        async with asyncio.timeout(10):
            answer = await raw(api, data, admin_context())
        statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [200, 404, 404, 400, 200] * 20 + [200]
