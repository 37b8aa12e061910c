"""echo, agnhost, http-echo and the "bootcamp" of Kubernetes' tutorials: small servers that lessons and tests use.

    kubelab/echo                                 says what it was sent, as JSON
    registry.k8s.io/e2e-test-images/agnhost      netexec, serve-hostname, pause
    hashicorp/http-echo                          -text=... -listen=:5678
    gcr.io/google-samples/kubernetes-bootcamp    "Hello Kubernetes bootcamp! | Running on: ... | v=1"

Left out:  agnhost's other subcommands; its /shell, /upload and /exit run nothing here but /exit
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

from kubelab.node.runtime.images import pod
from kubelab.node.runtime.images.http import Handler, Request, Response, server
from kubelab.node.runtime.images.loop import Server


def _run(ports: list[int], handle: Handler, name: str, udp: int = 0) -> int:
    running = Server()
    try:
        for port in ports:
            running.listen(port, server(handle, name))
        if udp:
            running.listen_udp(udp, _answer_udp)
    except OSError as error:
        print(f"{name}: cannot listen: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{name}: serving on port {', '.join(map(str, ports))}", flush=True)
    return running.run()


def _flags(argv: list[str]) -> dict[str, str]:
    """Read --name=value, -name value and the like."""
    found: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        if word.startswith("-"):
            key, equals, value = word.lstrip("-").partition("=")
            found[key] = value if equals else next(words, "")
    return found


def echo(argv: list[str]) -> int:
    """Answer every request with what it was, as JSON."""

    def handle(request: Request) -> Response:
        print(f"{request.method} {request.target}", flush=True)
        found = {"hostname": pod.hostname(), "method": request.method, "path": request.path,
                 "query": request.query, "headers": dict(request.headers),
                 "body": request.body.decode(errors="replace"), "remote": request.remote[0]}
        return Response(200, json.dumps(found, indent=2).encode() + b"\n", "application/json")

    return _run([int(_flags(argv).get("port") or os.environ.get("PORT") or 8080)], handle, "echo")


def http_echo(argv: list[str]) -> int:
    """Answer every request with one text."""
    flags = _flags(argv)
    text = flags.get("text", os.environ.get("ECHO_TEXT", ""))
    if not text:
        print("Missing -text option!", file=sys.stderr)
        return 127
    body = text.encode() + b"\n"
    return _run([int(flags.get("listen", ":5678").rpartition(":")[2])], lambda _: Response(200, body), "http-echo")


def bootcamp(argv: list[str]) -> int:
    """Greet like the tutorial's first application."""
    version = os.environ.get("KUBELAB_IMAGE_TAG", "v1").lstrip("v")
    text = f"Hello Kubernetes bootcamp! | Running on: {pod.hostname()} | v={version}\n".encode()
    return _run([8080], lambda _: Response(200, text), "kubernetes-bootcamp")


def hello_app(argv: list[str]) -> int:
    """Greet like Google's hello-app."""
    version = os.environ.get("KUBELAB_IMAGE_TAG", "1.0")
    text = f"Hello, world!\nVersion: {version}.0\nHostname: {pod.hostname()}\n".encode()
    return _run([int(os.environ.get("PORT") or 8080)], lambda _: Response(200, text), "hello-app")


# ── agnhost ──────────────────────────────────────────────────────────────────────────────────────────────────


def agnhost(argv: list[str]) -> int:
    """Run the subcommands netexec, serve-hostname and pause."""
    command, flags = (argv[0] if argv else "pause"), _flags(argv[1:])
    if command == "netexec":
        ports = [int(flags.get("http-port", "8080"))]
        return _run(ports, _netexec, "netexec", int(flags.get("udp-port", "8081")))
    if command == "serve-hostname":
        port = int(flags.get("port", "9376"))
        return _run([port], lambda _: Response(200, pod.hostname().encode()), "serve-hostname")
    if command == "pause":
        return pause([])
    print(f'Error: kubelab\'s agnhost has "netexec", "serve-hostname" and "pause", not "{command}"', file=sys.stderr)
    return 1


def _netexec(request: Request) -> Response:
    answers: dict[str, Callable[[], bytes]] = {
        "/": lambda: f"NOW: {time.strftime('%Y-%m-%d %H:%M:%S +0000 UTC', time.gmtime())}".encode(),
        "/hostname": lambda: pod.hostname().encode(),
        "/hostName": lambda: pod.hostname().encode(),
        "/clientip": lambda: f"{request.remote[0]}:{request.remote[1]}".encode(),
        "/echo": lambda: request.query.get("msg", "").encode(),
        "/healthz": lambda: b"",
        "/header": lambda: request.header(request.query.get("key", "").lower()).encode(),
    }
    if request.path == "/exit":
        os._exit(int(request.query.get("code") or 0))
    if request.path in answers:
        code = int(request.query.get("code") or 200) if request.path == "/echo" else 200
        return Response(code, answers[request.path]())
    return Response(404, b"404 page not found\n")


def _answer_udp(data: bytes, remote: tuple[str, int]) -> bytes:
    word, _, rest = data.decode(errors="replace").strip().partition(" ")
    if word == "echo":
        return rest.encode()
    if word == "clientip":
        return f"{remote[0]}:{remote[1]}".encode()
    return pod.hostname().encode()


def pause(argv: list[str]) -> int:
    """Hold still until told to end."""
    return Server().run()
