"""schemathesis, which knows nothing of Kubernetes, reads our OpenAPI and finds no fault of ours behind it."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import yaml

from kubelab.magics import kubectl_path

STREAMS = ("/watch/", "/exec", "/attach", "/portforward", "/proxy", "/log")  # connections, not answers
ENDLESS = ("watch", "timeoutSeconds")


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("openapi") / "kubeconfig"
    command = [sys.executable, "-m", "kubelab", "up", "--quiet", "--nodes", "1", "--runtime", "hollow", "--kubeconfig",
               str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline().startswith("ready in")
        yield path
        assert process.poll() is None, "the cluster went on to the end"
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("group", ["api/v1", "apis/apps/v1"])
def test_no_operation_of_the_published_api_fails(kubeconfig: Path, group: str, tmp_path: Path) -> None:
    """Requests made from the document of a group, valid and not, are never answered with a server's error."""
    shown = subprocess.run([kubectl_path(), "--kubeconfig", kubeconfig, "get", "--raw", f"/openapi/v3/{group}"],
                           capture_output=True, check=True, timeout=30)
    document = orjson.loads(shown.stdout)
    for path in [path for path in document["paths"] if any(part in path for part in STREAMS)]:
        del document["paths"][path]
    for item in document["paths"].values():
        for part in (item, *(value for value in item.values() if isinstance(value, dict))):
            if "parameters" in part:
                part["parameters"] = [p for p in part["parameters"] if p.get("name") not in ENDLESS]
    (tmp_path / "openapi.json").write_bytes(orjson.dumps(document))
    config = yaml.safe_load(kubeconfig.read_text())
    user = config["users"][0]["user"]
    (tmp_path / "admin.pem").write_bytes(base64.b64decode(user["client-certificate-data"])
                                         + base64.b64decode(user["client-key-data"]))
    done = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "run", "openapi.json", "--url",
         config["clusters"][0]["cluster"]["server"], "--request-cert", "admin.pem", "--tls-verify", "false",
         "--checks", "not_a_server_error", "--phases", "fuzzing", "--max-time", "8", "--request-timeout", "5",
         "--warnings", "off", "--generation-database", "none", "--seed", "1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
