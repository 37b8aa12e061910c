"""nginx: static files, `return` and `proxy_pass`, as much of its configuration as lessons use.

    /etc/nginx/nginx.conf or conf.d/*.conf ─► server blocks ─► longest location ─► return | proxy_pass | file below root

Invariant: every request leaves one line of the combined log on standard output.
Models:    nginx, the image docker.io/library/nginx
Left out:  regular-expression locations, TLS, variables but a few, caching; unknown directives are passed over
"""

from __future__ import annotations

import glob
import os
import signal
import sys
import time
from dataclasses import dataclass, field

from kubelab.node.runtime.images import files, pod
from kubelab.node.runtime.images.fetch import FetchError, fetch
from kubelab.node.runtime.images.http import Request, Response, server
from kubelab.node.runtime.images.loop import Server

PAGE = """<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
<style>
html { color-scheme: light dark; }
body { width: 35em; margin: 0 auto; font-family: Tahoma, Verdana, Arial, sans-serif; }
</style>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>This page comes from kubelab's stand-in for nginx. Lay your own over it: mount a volume at
<code>/usr/share/nginx/html</code>.</p>
</body>
</html>
"""
TREES = {
    "/usr/share/nginx/html": {"index.html": PAGE},
    "/etc/nginx": {
        "nginx.conf": "user nginx;\nworker_processes auto;\n\nevents {\n    worker_connections 1024;\n}\n\n"
                      "http {\n    include /etc/nginx/conf.d/*.conf;\n}\n",
        "conf.d/default.conf": "server {\n    listen 80;\n    server_name localhost;\n\n    location / {\n"
                               "        root /usr/share/nginx/html;\n        index index.html index.htm;\n    }\n}\n",
    },
}
"""What the image brings: folders, and the files in them."""


@dataclass(slots=True)
class Block:
    """One directive of the configuration: its words, and what stands in its braces."""

    words: list[str]
    inner: list[Block] = field(default_factory=list)

    def first(self, name: str, default: str = "") -> str:
        return next((" ".join(b.words[1:]) for b in self.inner if b.words[0] == name), default)

    def all(self, name: str) -> list[Block]:
        return [b for b in self.inner if b.words[0] == name]


class ConfigError(Exception):
    """The configuration is wrong; worded as `nginx -t` words it."""


def parse(text: str) -> Block:
    """Read nginx configuration text. Raises: ConfigError."""
    stack = [Block(["main"])]
    words: list[str] = []
    for token, quoted in _tokens(text):
        if token == ";" and not quoted:
            if words:
                stack[-1].inner.append(Block(words))
            words = []
        elif token == "{" and not quoted:
            stack.append(Block(words or [""]))
            words = []
        elif token == "}" and not quoted:
            if len(stack) == 1 or words:
                raise ConfigError('unexpected "}"')
            block = stack.pop()
            stack[-1].inner.append(block)
        else:
            words.append(token)
    if len(stack) > 1 or words:
        raise ConfigError('unexpected end of file, expecting ";" or "}"')
    return stack[0]


def _tokens(text: str) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char in "{};":
            found.append((char, False))
            at += 1
        elif char.isspace():
            at += 1
        elif char == "#":
            at = (text.find("\n", at) + 1) or len(text)
        elif char in "\"'":
            end = text.find(char, at + 1)
            if end < 0:
                raise ConfigError(f"unexpected end of file, expecting {char}")
            found.append((text[at + 1:end], True))
            at = end + 1
        else:
            end = at
            while end < len(text) and not text[end].isspace() and text[end] not in "{};":
                end += 1
            found.append((text[at:end], False))
            at = end
    return found


def load() -> list[Block]:
    """Return the server blocks of /etc/nginx/nginx.conf and what it includes. Raises: ConfigError, OSError."""
    found: list[Block] = []
    _collect("/etc/nginx/nginx.conf", found)
    return found


def _collect(path: str, found: list[Block]) -> None:
    with open(pod.path(path), encoding="utf-8", errors="replace") as file:
        try:
            main = parse(file.read())
        except ConfigError as error:
            raise ConfigError(f"{error} in {path}") from None
    for block in (main, *main.all("http")):
        found += block.all("server")
        for include in block.all("include"):
            pattern = include.words[1] if include.words[1].startswith("/") else f"/etc/nginx/{include.words[1]}"
            folder, name = os.path.split(pattern)
            for part in sorted(glob.glob(os.path.join(glob.escape(pod.path(folder)), name))):
                _collect(part, found)


def _location(block: Block, path: str) -> Block:
    best, length = block, -1
    for location in block.all("location"):
        words = location.words[1:]
        exact, prefix = words[0] == "=", words[-1]
        if exact and prefix == path:
            return location
        if not exact and path.startswith(prefix) and len(prefix) > length:
            best, length = location, len(prefix)
    return best


def answer(block: Block, request: Request) -> Response:
    """Answer one request as the server block says."""
    location = _location(block, request.path)
    headers = {b.words[1]: _expand(" ".join(b.words[2:]).removesuffix(" always"), request)
               for b in (*block.all("add_header"), *location.all("add_header")) if len(b.words) > 2}
    back = location.first("return") or block.first("return")
    if back:
        code, _, text = back.partition(" ")
        if code in ("301", "302", "303", "307", "308"):
            return Response(int(code), b"", "text/html", headers | {"Location": _expand(text, request)})
        kind = location.first("default_type", block.first("default_type", "text/plain"))
        return Response(int(code), _expand(text, request).encode(), kind, headers)
    upstream = location.first("proxy_pass")
    if upstream:
        return _proxy(upstream, location, request, headers)
    root = location.first("root") or block.first("root", "/usr/share/nginx/html")
    index = (location.first("index") or block.first("index", "index.html")).split()
    alias = location.first("alias")
    path = request.path
    if alias and location is not block:
        root, path = alias, "/" + path[len(location.words[-1]):].lstrip("/")
    response = files.serve(root, path, request, index=index, name="nginx/" + version(),
                           listing=(location.first("autoindex") or block.first("autoindex")) == "on")
    response.headers = {**response.headers, **headers}
    return response


def _proxy(upstream: str, location: Block, request: Request, headers: dict[str, str]) -> Response:
    base = _expand(upstream, request)
    scheme, _, rest = base.partition("://")
    host, slash, prefix = rest.partition("/")
    target = request.target
    if slash:  # a URI in proxy_pass takes the place of the location's prefix
        target = "/" + prefix + request.target[len(location.words[-1]):]
    sent = [(k, v) for k, v in request.headers if k.lower() not in ("host", "connection", "content-length")]
    sent += [(b.words[1], _expand(" ".join(b.words[2:]), request)) for b in location.all("proxy_set_header")]
    try:
        got = fetch(f"{scheme}://{host}{target}", method=request.method, headers=sent, body=request.body)
    except FetchError as error:
        print(f"{time.strftime('%Y/%m/%d %H:%M:%S')} [error] {os.getpid()}#{os.getpid()}: connect() failed "
              f"({error}) while connecting to upstream, upstream: \"{base}\"", file=sys.stderr)
        return Response(502, files.error_page(502, "nginx/" + version()), "text/html")
    kept = {k: v for k, v in got.headers if k.lower() not in ("content-length", "content-type", "connection", "server",
                                                            "date", "transfer-encoding")}
    return Response(got.status, got.body, got.header("content-type", "text/plain"), kept | headers)


def _expand(text: str, request: Request) -> str:
    values = {"$hostname": pod.hostname(), "$remote_addr": request.remote[0], "$request_uri": request.target,
              "$uri": request.path, "$host": request.header("host").partition(":")[0], "$http_host":
              request.header("host"), "$scheme": "http", "$server_addr": request.local[0],
              "$server_port": str(request.local[1]), "$request_method": request.method, "$remote_port":
              str(request.remote[1]), "$time_iso8601": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
              "$proxy_add_x_forwarded_for": ", ".join(filter(None, (request.header("x-forwarded-for"),
                                                                    request.remote[0])))}
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(name, values[name])
    return text.replace("\\n", "\n")


def version() -> str:
    return os.environ.get("NGINX_VERSION", "1.29.3")


def notice(text: str, level: str = "notice") -> None:
    print(f"{time.strftime('%Y/%m/%d %H:%M:%S')} [{level}] {os.getpid()}#{os.getpid()}: {text}", file=sys.stderr,
          flush=True)


def main(argv: list[str]) -> int:
    """Run `nginx`, with -v, -t, -s and -g as the real one has them."""
    if "-v" in argv or "-V" in argv:
        print(f"nginx version: nginx/{version()}", file=sys.stderr)
        return 0
    try:
        servers = load()
    except (ConfigError, OSError) as error:
        notice(str(error), "emerg")
        return 1
    if "-t" in argv:
        print("nginx: the configuration file /etc/nginx/nginx.conf syntax is ok\n"
              "nginx: configuration file /etc/nginx/nginx.conf test is successful", file=sys.stderr)
        return 0
    return _serve(servers)


def _write_pid(path: str) -> None:
    """Leave our process id where the real one does, so that `kill $(cat /run/nginx.pid)` works."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(f"{os.getpid()}\n")


def _serve(servers: list[Block]) -> int:
    running = Server((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
    by_port: dict[int, list[Block]] = {}
    for block in servers:
        for listen in block.all("listen") or [Block(["listen", "80"])]:
            number = listen.words[1].rpartition(":")[2]
            if number.isdecimal() and "[" not in listen.words[1]:
                by_port.setdefault(int(number), []).append(block)
    for port, blocks in by_port.items():
        def handle(request: Request, blocks: list[Block] = blocks) -> Response:
            host = request.header("host").partition(":")[0]
            block = next((b for b in blocks if host in b.first("server_name").split()), blocks[0])
            response = answer(block, request)
            response.after = lambda: print(files.combined(request, response) + ' "-"', flush=True)
            return response

        try:
            running.listen(port, server(handle, "nginx/" + version()))
        except OSError as error:
            notice(f"bind() to {pod.address()}:{port} failed ({error.errno}: {os.strerror(error.errno or 0)})", "emerg")
            return 1
    _write_pid(os.environ.get("KUBELAB_ROOTFS", "") + "/run/nginx.pid")
    notice(f"nginx/{version()}")
    notice("start worker processes")
    code = running.run()
    notice("exit")
    return code
