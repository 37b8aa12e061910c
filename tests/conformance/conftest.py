"""One cluster of two hollow nodes for all conformance stories, and a caller that speaks to it as any client does."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from kubelab import Cluster

Obj = dict[str, Any]
MERGE, STRATEGIC, JSON_PATCH, APPLY = (f"application/{name}" for name in (
    "merge-patch+json", "strategic-merge-patch+json", "json-patch+json", "apply-patch+yaml"))


@dataclass
class Answer:
    """What came back: the status, and the body as it is."""

    status: int
    body: Any

    def __getitem__(self, key: str) -> Any:
        assert self.status < 300, self.body
        return self.body[key]

    @property
    def message(self) -> str:
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else str(self.body)


class Api:
    """HTTPS requests with an administrator's certificate, each in a namespace of its own story."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
        server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.cluster, self.url = cluster, server["server"]
        self._session = requests.Session()
        self._session.trust_env = False  # neither proxies nor another CA bundle
        for name, data in (("ca", server["certificate-authority-data"]), ("cert", user["client-certificate-data"]),
                           ("key", user["client-key-data"])):
            (folder / name).write_bytes(base64.b64decode(data))
        self._session.verify = str(folder / "ca")
        self._session.cert = (str(folder / "cert"), str(folder / "key"))

    def send(self, method: str, path: str, body: Any = None, media: str = "application/json",
             **headers: str) -> Answer:
        data = body if isinstance(body, (str, bytes)) or body is None else json.dumps(body)
        got = self._session.request(method, self.url + path, data=data, timeout=30,
                                    headers={"Content-Type": media, "Accept": "application/json", **headers})
        try:
            return Answer(got.status_code, got.json())
        except ValueError:
            return Answer(got.status_code, got.text)

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: Any, media: str = "application/json") -> Answer:
        return self.send("POST", path, body, media)

    def put(self, path: str, body: Any) -> Answer:
        return self.send("PUT", path, body)

    def patch(self, path: str, body: Any, media: str = MERGE) -> Answer:
        return self.send("PATCH", path, body, media)

    def delete(self, path: str, body: Any = None) -> Answer:
        return self.send("DELETE", path, body)

    def made(self, path: str, body: Any) -> Obj:
        """Create, and return what was made."""
        answer = self.post(path, body)
        assert answer.status == 201, answer
        return dict(answer.body)

    def events(self, path: str, last: Callable[[str, Obj], bool], timeout_s: int = 20) -> list[tuple[str, Obj]]:
        """Return what a watch tells until `last` is told; its resourceVersion stands in `path`."""
        told, mark = [], "&" if "?" in path else "?"
        with self._session.get(f"{self.url}{path}{mark}watch=1&timeoutSeconds={timeout_s}", stream=True,
                               timeout=timeout_s + 20) as stream:
            assert stream.status_code == 200, stream.text
            for line in stream.iter_lines(chunk_size=1):
                event = json.loads(line)
                told.append((event["type"], event["object"]))
                if last(*told[-1]):
                    return told
        raise AssertionError(f"the watch of {path} ended after {told}")

    def until(self, path: str, true: Callable[[Any], Any], timeout_s: float = 20) -> Any:
        """Read until it is as it should be, and return that."""
        end = time.monotonic() + timeout_s
        while True:
            answer = self.get(path)
            body = answer.body if answer.status == 200 else None
            if true(body):
                return body
            assert time.monotonic() < end, (path, answer.status, body)
            time.sleep(0.05)

    def gone(self, path: str, timeout_s: float = 20) -> None:
        self.until(path, lambda body: body is None, timeout_s)


@pytest.fixture(scope="package")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Cluster(nodes=2, runtime="hollow", quiet=True) as cluster:
        yield Api(cluster, tmp_path_factory.mktemp("pki"))


_numbers = itertools.count(1)


@pytest.fixture
def ns(api: Api) -> str:
    """The name of a fresh namespace with its service account."""
    name = f"story-{next(_numbers)}"
    api.made("/api/v1/namespaces", {"metadata": {"name": name}})
    api.until(f"/api/v1/namespaces/{name}/serviceaccounts/default", bool)
    return name
