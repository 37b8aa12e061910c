"""The API server's proxy to pods and services: every method arrives, and answers come back as they are."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.conformance.conftest import Api

METHODS = ("DELETE", "OPTIONS", "PATCH", "POST", "PUT", "GET")
ADDRESS = "127.200.0.9"  # where pods that are processes might be


class Echo(BaseHTTPRequestHandler):
    """Says which method and path it was asked for."""

    def _answer(self) -> None:
        said = f"{self.command} {self.path}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_DELETE = do_OPTIONS = do_PATCH = do_POST = do_PUT = do_GET = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer((ADDRESS, 0), Echo)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_method_arrives(api: Api, ns: str, port: int) -> None:
    """Through a pod and through a service, with and without a path behind."""
    core = f"/api/v1/namespaces/{ns}"
    api.made(f"{core}/pods", {"metadata": {"name": "p"}, "spec": {
        "schedulerName": "nobody", "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": port}]}]}})
    assert api.patch(f"{core}/pods/p/status", {"status": {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}}).status == 200
    api.made(f"{core}/services", {"metadata": {"name": "s"}, "spec": {"ports": [{"name": "web", "port": 80}]}})
    api.made(f"{core}/endpoints", {"metadata": {"name": "s"}, "subsets": [
        {"addresses": [{"ip": ADDRESS}], "ports": [{"name": "web", "port": port}]}]})
    for where in ("pods/p", f"pods/http:p:{port}", "services/s", "services/s:web", "services/http:s:80"):
        for method in METHODS:
            answer = api.send(method, f"{core}/{where}/proxy/some/path/with/{method}?a=b")
            assert (answer.status, answer.body) == (200, f"{method} /some/path/with/{method}?a=b"), where
            answer = api.send(method, f"{core}/{where}/proxy?method={method}")
            assert (answer.status, answer.body) == (200, f"{method} /?method={method}"), where
