"""The programs that kubelab ships: each does what the manifests of lessons ask of the real one."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from kubelab.node.runtime.images import nginx
from kubelab.node.runtime.images.http import Request
from kubelab.node.runtime.protocol import Mount

pytestmark = pytest.mark.parametrize("pods", ["private"], indirect=True)


async def get(pods: Any, container: str, *words: str) -> str:
    code, out, error = await pods.exec(container, "curl", "-sS", *words)
    assert code == 0, error
    return str(out)


async def test_nginx_serves_its_page_and_logs(pods: Any) -> None:
    """nginx greets, answers HEAD, 404, 405 and odd paths as it should, and writes its access log."""
    web = await pods.run("web", "nginx:1.27")
    await pods.line(web, "start worker")
    assert "<h1>Welcome to nginx!</h1>" in await get(pods, web, "localhost")
    assert "Server: nginx/1.27" in await get(pods, web, "-I", "localhost")
    for path, status in (("/nope", "404"), ("/..%2f..%2fetc/passwd", "404"), ("/%00", "400"), ("/", "200")):
        assert await get(pods, web, "-o", "/dev/null", "-w", "%{http_code}", f"localhost{path}") == status
    assert await get(pods, web, "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "localhost") == "405"
    ip = pods.sandboxes[web].ip
    assert f'{ip} - - [' in await pods.log(web) and '"GET /nope HTTP/1.1" 404' in await pods.log(web)
    await pods.runtime.stop_container(web, 5)
    assert (await pods.status(web)).exit_code == 0


async def test_nginx_follows_a_mounted_configuration(pods: Any, tmp_path: Path) -> None:
    """A ConfigMap in conf.d gives ports, answers, redirects and a proxy; an error in it ends nginx with words."""
    upstream = await pods.run("api", "kubelab/echo")
    await pods.line(upstream, "serving")
    api = pods.sandboxes[upstream].ip
    (tmp_path / "default.conf").write_text(f"""
        server {{
            listen 8080;  # a comment; with a semicolon
            location = /healthz {{ return 200 "fine\\n"; }}
            location /old/ {{ return 301 /new/; }}
            location /api/ {{ proxy_pass http://{api}:8080/v1/; proxy_set_header X-From $hostname; }}
            location / {{ root /usr/share/nginx/html; add_header X-Pod "$hostname"; }}
        }}""")
    web = await pods.run("web", "nginx", mounts=(Mount(str(tmp_path), "/etc/nginx/conf.d"),))
    await pods.line(web, "start worker")
    assert await get(pods, web, "localhost:8080/healthz") == "fine\n"
    assert "Location: /new/" in await get(pods, web, "-I", "localhost:8080/old/x")
    answer = json.loads(await get(pods, web, "localhost:8080/api/users?id=7"))
    assert (answer["path"], answer["query"], answer["headers"]["X-From"]) == ("/v1/users", {"id": "7"}, "web")
    assert "X-Pod: web" in await get(pods, web, "-I", "localhost:8080/")
    (tmp_path / "default.conf").write_text("server { listen 80;")
    bad = await pods.run("bad", "nginx", mounts=(Mount(str(tmp_path), "/etc/nginx/conf.d"),))
    assert (await pods.ended(bad)).exit_code == 1
    assert '[emerg]' in await pods.log(bad) and 'unexpected end of file' in await pods.log(bad)


async def test_httpd_of_both_kinds(pods: Any, tmp_path: Path) -> None:
    """Apache's image says that it works; busybox's httpd serves a folder on the port it is given."""
    apache = await pods.run("apache", "httpd:2.4")
    await pods.line(apache, "resuming normal operations")
    assert "It works!" in await get(pods, apache, "localhost")
    (tmp_path / "file.txt").write_text("from busybox")
    box = await pods.run("box", "busybox", "sh", "-c", "httpd -f -p 8000 -h /www & "
                         "until nc -z localhost 8000; do sleep 0.05; done; echo up; wait",
                         mounts=(Mount(str(tmp_path), "/www"),))
    await pods.line(box, "up")
    assert await get(pods, box, "localhost:8000/file.txt") == "from busybox"


async def test_redis(pods: Any) -> None:
    """redis keeps strings, counters, lists, hashes and sets, lets keys expire, and words its errors as the real one."""
    redis = await pods.run("redis", "redis:7")
    await pods.line(redis, "Ready to accept")

    async def cli(*words: str) -> str:
        code, out, error = await pods.exec(redis, "redis-cli", *words)
        assert code == 0, error
        return str(out).rstrip("\n")

    assert await cli("PING") == "PONG"
    assert [await cli("SET", "k", "v"), await cli("GET", "k"), await cli("GET", "none")] == ["OK", "v", ""]
    assert [await cli("INCR", "n"), await cli("INCRBY", "n", "9"), await cli("DECR", "n")] == ["1", "10", "9"]
    assert [await cli("RPUSH", "l", "a", "b", "c"), await cli("LRANGE", "l", "0", "-2")] == ["3", "a\nb"]
    assert [await cli("HSET", "h", "f", "1"), await cli("HGETALL", "h")] == ["1", "f\n1"]
    assert [await cli("SADD", "s", "x", "y", "x"), await cli("SMEMBERS", "s")] == ["2", "x\ny"]
    assert [await cli("EXPIRE", "k", "0"), await cli("EXISTS", "k"), await cli("TTL", "n")] == ["1", "0", "-1"]
    assert "WRONGTYPE" in await cli("INCR", "l")
    assert await cli("GET") == "ERR wrong number of arguments for 'get' command"
    assert await cli("NOPE", "x") == "ERR unknown command 'NOPE', with args beginning with: 'x'"
    assert "role:master" in await cli("INFO")
    assert await cli("KEYS", "*") == "n\nl\nh\ns"


async def test_agnhost_netexec(pods: Any) -> None:
    """agnhost netexec tells its host name and echoes, over HTTP, with the status that is asked for."""
    container = await pods.run("net", "registry.k8s.io/e2e-test-images/agnhost:2.53",
                               args=("netexec", "--http-port=8081", "--udp-port=8082"))
    await pods.line(container, "serving")
    assert await get(pods, container, "localhost:8081/hostname") == "net"
    assert await get(pods, container, "localhost:8081/echo?msg=a+b") == "a b"
    assert await get(pods, container, "-w", "%{http_code}", "localhost:8081/echo?msg=x&code=418") == "x418"
    assert (await pods.exec(container, "sh", "-c", "echo hostName | nc -u -w 1 localhost 8082"))[0] in (0, 1)


async def test_pause_ends_when_told(pods: Any) -> None:
    """pause does nothing, and ends cleanly."""
    container = await pods.run("pause", "registry.k8s.io/pause:3.10")
    status = Path(f"/proc/{(await pods.status(container)).pid}/status")
    while not int(re.findall(r"SigCgt:\s*(\w+)", status.read_text())[0], 16) & 1 << signal.SIGTERM - 1:  # noqa: ASYNC110 — until it listens, which the kernel tells nobody
        await asyncio.sleep(0.01)
    await pods.runtime.stop_container(container, 5)
    assert (await pods.status(container)).exit_code == 0


async def test_tools_say_what_went_wrong(pods: Any) -> None:
    """wget, curl and nc fail with the words and codes of the real ones."""
    box = await pods.run("box", "busybox", "sleep", "1000")
    code, _, error = await pods.exec(box, "wget", "-qO-", "http://localhost:1/")
    assert (code, error) == (1, "wget: can't connect to remote host (localhost:1): Connection refused\n")
    assert (await pods.exec(box, "wget", "http://no-such-host/"))[2] == "wget: bad address 'no-such-host'\n"
    code, _, error = await pods.exec(box, "curl", "http://no-such-host/")
    assert (code, error) == (6, "curl: (6) Could not resolve host: no-such-host\n")
    assert (await pods.exec(box, "curl", "localhost:1"))[0] == 7
    assert (await pods.exec(box, "curl", "--no-such-option", "localhost"))[0] == 2
    assert (await pods.exec(box, "nc", "-z", "localhost", "1"))[0] == 1


@pytest.mark.parametrize("text", ["server {", "server { listen 80", "}", 'return 200 "x;', "a { b { } "])
async def test_broken_configuration(pods: Any, text: str) -> None:
    """Configuration that does not parse is an error, whatever is wrong with it."""
    with pytest.raises(nginx.ConfigError):
        nginx.parse(text)


async def test_requests_with_hostile_heads(pods: Any) -> None:
    """Malformed, endless and oversized requests are answered with an error, and the next one is served."""
    import asyncio

    web = await pods.run("web", "nginx")
    await pods.line(web, "start worker")
    for sent, status in ((b"\r\n\r\n", b"400"), (b"GET / HTTP/9.9\r\n\r\n", b"505"), (b"G" * 70000, b"431"),
                         (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"413"),
                         (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
                         (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400")):
        stream = await pods.runtime.port_forward(pods.sandboxes[web].id, 80)
        await stream.write(sent)
        assert (await asyncio.wait_for(stream.read(), 5)).split(b" ")[1] == status, sent[:40]
        await stream.close()
    assert "Welcome" in await get(pods, web, "localhost")


def test_query_is_read(pods: Any) -> None:
    """A query string becomes its decoded pairs."""
    request = Request("GET", "/a%20b?x=1&y=a+b%26c&z", "HTTP/1.1", [], b"", ("", 0), ("", 0))
    assert (request.path, request.query) == ("/a b", {"x": "1", "y": "a b&c", "z": ""})
