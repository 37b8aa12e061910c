"""whoami: say which pod answers, from where, and what was asked. The best friend of every lesson on Services.

Models:    docker.io/traefik/whoami
Left out:  gRPC, WebSocket, TLS
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import pairwise
from typing import Any

from kubelab.node.runtime.images import pod
from kubelab.node.runtime.images.http import Request, Response, server
from kubelab.node.runtime.images.loop import Server

_health = {"status": 200}


def main(argv: list[str]) -> int:
    """Run `whoami [--port PORT] [--name NAME] [--verbose]`."""
    words = [part for word in argv for part in word.lstrip("-").split("=", 1)]
    port = os.environ.get("WHOAMI_PORT_NUMBER", "80")
    name = os.environ.get("WHOAMI_NAME", "")
    for key, value in pairwise(words):
        port = value if key == "port" else port
        name = value if key == "name" else name
    verbose = "verbose" in words
    running = Server()

    def handle(request: Request) -> Response:
        if verbose:
            when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
            print(f'{request.remote[0]}:{request.remote[1]} - - [{when}] "{request.method} {request.target} '
                  f'{request.version}" - -', flush=True)
        return answer(request, name)

    try:
        running.listen(int(port), server(handle, "whoami"))
    except OSError as error:
        print(f"listen tcp {pod.address()}:{port}: bind: {(error.strerror or '').lower()}", file=sys.stderr)
        return 1
    print(f"Starting up on port {port}", flush=True)
    return running.run()


def answer(request: Request, name: str) -> Response:
    """Answer /, /api, /data, /bench and /health as traefik/whoami does."""
    query = request.query
    if request.path == "/health":
        if request.method == "POST":
            _health["status"] = int(request.body or b"200")
            return Response(200)
        return Response(_health["status"])
    if request.path == "/bench":
        return Response(200, b"1")
    if request.path == "/data":
        units = {"kb": 1 << 10, "mb": 1 << 20}.get(query.get("unit", "").lower(), 1)
        size = min(int(query.get("size") or 1) * units, 16 << 20)
        return Response(200, (b"|" + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-" * (size // 27 + 1))[:size], "text/plain")
    if "wait" in query:
        time.sleep(min(_seconds(query["wait"]), 30.0))
    return _json(request, name) if request.path == "/api" else _text(request, name)


def _seconds(text: str) -> float:
    try:
        return float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))
    except ValueError:
        return 0.0


def _text(request: Request, name: str) -> Response:
    lines = [f"Name: {name}"] if name else []
    lines += [f"Hostname: {pod.hostname()}", f"IP: {pod.address()}",
              f"RemoteAddr: {request.remote[0]}:{request.remote[1]}",
              f"{request.method} {request.target} {request.version}", f"Host: {request.header('host')}"]
    lines += sorted(f"{key.title()}: {value}" for key, value in request.headers if key.lower() != "host")
    return Response(200, ("\n".join(lines) + "\n\n").encode())


def _json(request: Request, name: str) -> Response:
    headers: dict[str, list[str]] = {}
    for key, value in request.headers:
        if key.lower() != "host":
            headers.setdefault(key.title(), []).append(value)
    found: dict[str, Any] = {"hostname": pod.hostname(), "ip": [pod.address()], "headers": headers,
                             "url": request.target, "host": request.header("host"), "method": request.method,
                             "remoteAddr": f"{request.remote[0]}:{request.remote[1]}"}
    return Response(200, json.dumps(found | ({"name": name} if name else {})).encode() + b"\n", "application/json")
