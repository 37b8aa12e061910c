from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.context import Waiting
from kubelab.node.kubelet.environment import Environment, service_variables
from kubelab.node.kubelet.expansion import expand
from kubelab.node.kubelet.fields import Downward, FieldError

from .scenes import container, pod

CONFIG = {"kind": "ConfigMap", "data": {"level": "debug", "port": "80"}}
SECRET = {"kind": "Secret", "data": {"password": base64.b64encode(b"hush").decode()}}
WEB = {"metadata": {"name": "web-db", "namespace": "default"},
       "spec": {"clusterIP": "10.0.0.9", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}}
KUBERNETES = {"metadata": {"name": "kubernetes", "namespace": "default"},
              "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "https", "port": 443}]}}


class Sources:
    async def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        return {"configmaps/cfg": CONFIG, "secrets/sec": SECRET}.get(f"{kind}/{name}")


async def env(**more: Any) -> dict[str, str]:
    made = container("c", **more)
    context: Any = SimpleNamespace(needs_files=True, node_ip="127.0.0.9", node_name="node-1", root_dir=Path("/x"))
    return await Environment(context, Sources(), lambda ns: [], lambda: {"cpu": "4", "memory": "8Gi"}).of(
        pod(made, serviceAccountName="robot"), made, "10.0.0.5")


def ref(kind: str, name: str, key: str, **more: Any) -> Obj:
    return {"name": "X", "valueFrom": {f"{kind}KeyRef": {"name": name, "key": key, **more}}}


@pytest.mark.parametrize(("text", "want"), [
    ("$(A)-$(B)", "1-2"), ("$$(A)", "$(A)"), ("$(NO)", "$(NO)"), ("$A $( x", "$A $( x"), ("$$$(A)", "$1")])
def test_references_are_expanded_by_kubernetes_rule(text: str, want: str) -> None:
    """Known names are replaced, $$ escapes, what is unknown or unfinished stays."""
    assert expand(text, {"A": "1", "B": "2"}) == want


async def test_values_come_from_everywhere() -> None:
    """Plain values, ConfigMap and Secret keys, fields and resources; later ones may use earlier ones."""
    got = await env(resources={"limits": {"cpu": "1500m"}}, env=[
        {"name": "PLAIN", "value": "x"}, {"name": "JOINED", "value": "$(PLAIN)/$(LATER)"},
        {"name": "LATER", "value": "y"},
        ref("configMap", "cfg", "level") | {"name": "LEVEL"}, ref("secret", "sec", "password") | {"name": "PASSWORD"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}])
    assert got == {"PLAIN": "x", "JOINED": "x/$(LATER)", "LATER": "y", "LEVEL": "debug", "PASSWORD": "hush",
                   "IP": "10.0.0.5", "CPU": "2", "MEMORY": "8192"}


async def test_env_from_is_prefixed_and_overridden() -> None:
    """envFrom takes whole objects, and env has the last word."""
    got = await env(envFrom=[{"prefix": "P_", "configMapRef": {"name": "cfg"}}, {"secretRef": {"name": "sec"}}],
                    env=[{"name": "P_level", "value": "mine"}])
    assert got == {"P_level": "mine", "P_port": "80", "password": "hush"}


@pytest.mark.parametrize(("more", "message"), [
    ({"env": [ref("configMap", "no", "k")]}, 'configmap "no" not found'),
    ({"env": [ref("secret", "no", "k")]}, 'secret "no" not found'),
    ({"env": [ref("configMap", "cfg", "k")]}, "couldn't find key k in ConfigMap default/cfg"),
    ({"env": [ref("secret", "sec", "k")]}, "couldn't find key k in Secret default/sec"),
    ({"envFrom": [{"configMapRef": {"name": "no"}}]}, 'configmap "no" not found')])
async def test_what_is_missing_is_named(more: Any, message: str) -> None:
    """A missing object or key is a CreateContainerConfigError in Kubernetes' words."""
    with pytest.raises(Waiting) as caught:
        await env(**more)
    assert (caught.value.reason, caught.value.message) == ("CreateContainerConfigError", message)


async def test_optional_things_may_be_missing() -> None:
    """optional: true leaves the variable out."""
    assert await env(env=[ref("configMap", "no", "k", optional=True), ref("secret", "sec", "k", optional=True)],
                     envFrom=[{"secretRef": {"name": "no", "optional": True}}]) == {}


def test_services_are_told_as_docker_links_were() -> None:
    """Names in capitals with underscores; headless Services are left out; without links only kubernetes is told."""
    headless = {"metadata": {"name": "h", "namespace": "default"},
                "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    got = service_variables([WEB, KUBERNETES, headless], "default")
    assert got["WEB_DB_SERVICE_HOST"] == "10.0.0.9"
    assert got["WEB_DB_SERVICE_PORT_HTTP"] == "80"
    assert got["WEB_DB_PORT"] == "tcp://10.0.0.9:80"
    assert got["WEB_DB_PORT_80_TCP_ADDR"] == "10.0.0.9"
    assert not any(k.startswith("H_") for k in got)
    only = service_variables([WEB, KUBERNETES], "default", links=False)
    assert {k.split("_")[0] for k in only} == {"KUBERNETES"}
    assert not any(k.startswith("WEB") for k in service_variables([WEB, KUBERNETES], "other"))


def test_fields_of_the_pod() -> None:
    """Labels come one by one or as a file's text; an unknown path is an error."""
    made = pod()
    made["metadata"]["labels"] = {"b": "2", "a": 'x"y'}
    downward = Downward(made, "10.0.0.5", "127.0.0.9", "node-1", {})
    assert downward.field("metadata.labels['b']") == "2"
    assert downward.field("metadata.labels") == 'a="x\\"y"\nb="2"'
    assert downward.field("spec.nodeName") == "node-1"
    with pytest.raises(FieldError):
        downward.field("status.phase")
