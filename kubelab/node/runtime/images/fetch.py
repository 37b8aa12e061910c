"""A small HTTP client for the shipped programs: names through the cluster DNS, ports mapped as everywhere.

Models:    what wget, curl and nginx's proxy_pass need of RFC 9112
Left out:  redirects (the caller follows them), connection reuse
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from kubelab.machinery.ports import mapped
from kubelab.node.runtime.images import pod, resolver


class FetchError(Exception):
    """No answer; the message says what failed, in the words of the C library where it has any."""


@dataclass(frozen=True, slots=True)
class Fetched:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    remote: tuple[str, int]

    def header(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key.lower() == name), default)


def split(url: str) -> tuple[str, int, str]:
    """Return host, port and target of an http URL. Raises: FetchError."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "http", url
    if scheme not in ("http", "https"):
        raise FetchError(f"not an http URL: {url}")
    host, slash, target = rest.partition("/")
    host, question, query = host.partition("?")
    name, _, port = host.partition(":")
    path = f"/{target}" if slash else f"/?{query}" if question else "/"
    try:
        return name, int(port or (443 if scheme == "https" else 80)), path
    except ValueError:
        raise FetchError(f"bad port in {url}") from None


def connect(host: str, port: int, timeout_s: float | None) -> socket.socket:
    """Open a TCP connection to a name or address of the cluster. Raises: FetchError."""
    try:
        ip = resolver.lookup(host)
    except LookupError as error:
        raise FetchError(str(error)) from None
    real = mapped(port, pod.lowest_port()) if ip.startswith("127.") else port
    own = (pod.address(), 0) if ip.startswith("127.") else None  # so that the other side sees this pod's address
    try:
        return socket.create_connection((ip, real), timeout_s, own)
    except TimeoutError:
        raise FetchError("Connection timed out") from None
    except OSError as error:
        raise FetchError(error.strerror or str(error)) from None


def fetch(url: str, *, method: str = "GET", headers: Sequence[tuple[str, str]] = (), body: bytes = b"",
          timeout_s: float | None = 60.0, ca_file: str | None = None, verify: bool = True) -> Fetched:
    """Ask once and read the whole answer. Raises: FetchError."""
    host, port, target = split(url)
    given = {key.lower() for key, _ in headers}
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {host}" + (f":{port}" if port not in (80, 443) else ""))
    lines += [f"{key}: {value}" for key, value in headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    with connect(host, port, timeout_s) as plain:
        try:
            sock = _secured(plain, host, ca_file, verify) if url.startswith("https:") else plain
            sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            return _read(sock, method)
        except TimeoutError:
            raise FetchError("Operation timed out") from None
        except OSError as error:
            raise FetchError(error.strerror or str(error)) from None


def _secured(plain: socket.socket, host: str, ca_file: str | None, verify: bool) -> socket.socket:
    import ssl  # 2 MB of memory that hardly any container needs

    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLError as error:
        raise FetchError(f"SSL certificate problem: {getattr(error, 'verify_message', '') or error.reason}") from None


def _read(sock: socket.socket, method: str) -> Fetched:
    remote = sock.getpeername()
    with sock.makefile("rb") as stream:
        first = stream.readline().decode("latin-1").split(" ", 2)
        if len(first) < 2 or not first[1].isdecimal():
            raise FetchError("Empty reply from server")
        headers = []
        while (line := stream.readline().decode("latin-1").strip()):
            key, _, value = line.partition(":")
            headers.append((key.strip(), value.strip()))
        found = Fetched(int(first[1]), first[2].strip() if len(first) > 2 else "", headers, b"", remote)
        if method == "HEAD":
            return found
        body = bytearray()
        if "chunked" in found.header("transfer-encoding").lower():
            while size := int(stream.readline().partition(b";")[0] or b"0", 16):
                body += stream.read(size)
                stream.readline()
        elif length := found.header("content-length"):
            body += stream.read(int(length))
        else:
            body += stream.read()
        return Fetched(found.status, found.reason, headers, bytes(body), remote)
