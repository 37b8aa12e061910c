"""The real kubectl and custom resources: define, create, explain, get, describe, edit by every patch, delete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelab import Cluster

from .conftest import Kubectl

CRON_TABS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec, description: The cron spec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: CronTab runs something now and then.
        properties:
          spec:
            type: object
            description: What is wanted.
            required: [cronSpec]
            properties:
              cronSpec: {type: string, description: When it runs., pattern: '^(\\S+ ){4}\\S+$'}
              image: {type: string, default: cron}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
          status:
            type: object
            properties: {replicas: {type: integer}}
---
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: first}
spec: {cronSpec: "* * * * */5"}
"""
ANYTHING = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.stable.example.com}
spec:
  group: stable.example.com
  scope: Cluster
  names: {plural: things, kind: Thing}
  versions:
  - {name: v1, served: true, storage: true,
     schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
"""


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    """kubectl on a cluster whose containers are made up: none of them matters here."""
    with Cluster(nodes=1, runtime="hollow", quiet=True) as cluster:
        yield Kubectl(Path(cluster.kubeconfig), "hollow")


@pytest.fixture(scope="module", autouse=True)
def defined(kubectl: Kubectl) -> None:
    """The definition and an object of it come in one file.

    kubectl looks for new kinds half-way only when what it knows of the server is from an earlier call.
    """
    kubectl("api-resources")
    assert kubectl("create", "-f", "-", stdin=CRON_TABS) == (
        "customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com created\n"
        "crontab.stable.example.com/first created\n")


def test_get(kubectl: Kubectl) -> None:
    """Definitions and objects print their columns, by every name, and with the category."""
    assert re.search(r"NAME +CREATED AT\n.*crontabs\.stable\.example\.com +\d{4}-", kubectl("get", "crd"))
    for name in ("ct", "crontab", "crontabs", "crontabs.stable.example.com", "crontabs.v1.stable.example.com"):
        assert re.search(r"NAME +SPEC +REPLICAS +AGE\nfirst +\* \* \* \* \*/5 +1 +\d+s", kubectl("get", name))
    assert "crontab.stable.example.com/first" in kubectl("get", "all")
    assert "crontabs" in kubectl("api-resources", "--api-group=stable.example.com")
    kubectl("wait", "crd/crontabs.stable.example.com", "--for=condition=Established", "--timeout=5s")


def test_explain(kubectl: Kubectl) -> None:
    """explain shows the schema's own words, nested and recursive."""
    said = kubectl("explain", "crontabs")
    assert "KIND:       CronTab" in said and "CronTab runs something now and then." in said
    assert "When it runs." in kubectl("explain", "ct.spec.cronSpec")
    assert re.search(r"replicas\s+<integer>", kubectl("explain", "crontabs", "--recursive"))
    assert "field \"nope\" does not exist" in kubectl("explain", "ct.spec.nope", ok=False)


def test_validation(kubectl: Kubectl) -> None:
    """What the schema does not allow is refused in its words; unknown fields are, too."""
    def refused(spec: str) -> str:
        return kubectl("create", "-f", "-", ok=False, stdin=f"apiVersion: stable.example.com/v1\nkind: CronTab\n"
                       f"metadata: {{name: bad}}\nspec: {spec}\n")

    assert "spec.cronSpec in body should match" in refused('{cronSpec: "* *"}')
    too_many = refused('{cronSpec: "* * * * *", replicas: 11}')
    assert "spec.replicas in body should be less than or equal to 10" in too_many
    assert "spec.cronSpec: Required value" in refused("{replicas: 1}")
    assert 'unknown field "spec.nope"' in refused('{cronSpec: "* * * * *", nope: 1}')


def test_changes(kubectl: Kubectl) -> None:
    """apply, server-side apply, patch, label, scale, and status by its subresource; strategic merge is refused."""
    second = ("apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {name: second}\n"
              'spec: {cronSpec: "* * * * *", replicas: %d}\n')
    assert kubectl("apply", "-f", "-", stdin=second % 2) == "crontab.stable.example.com/second created\n"
    assert kubectl("apply", "-f", "-", stdin=second % 3) == "crontab.stable.example.com/second configured\n"
    assert kubectl("diff", "-f", "-", stdin=second % 3) == ""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=second % 4)
    kubectl("patch", "ct", "second", "--type=merge", "-p", '{"spec":{"image":"x"}}')
    assert "unknown format" in kubectl("patch", "ct", "second", "-p", '{"spec":{}}', "--type=strategic", ok=False)
    kubectl("label", "ct", "second", "a=b")
    assert kubectl("scale", "ct/second", "--replicas=5") == "crontab.stable.example.com/second scaled\n"
    kubectl("patch", "ct", "second", "--subresource=status", "--type=merge", "-p", '{"status":{"replicas":5}}')
    found = json.loads(kubectl("get", "ct", "second", "-o", "json"))
    assert (found["spec"], found["status"]) == (
        {"cronSpec": "* * * * *", "image": "x", "replicas": 5}, {"replicas": 5})
    assert "Spec:" in kubectl("describe", "ct", "second")
    said = kubectl("delete", "ct", "-l", "a=b")
    assert said == 'crontab.stable.example.com "second" deleted from default namespace\n'


def test_anything_goes_where_unknown_fields_are_kept(kubectl: Kubectl) -> None:
    """A schema that keeps unknown fields takes and explains whatever comes."""
    kubectl("apply", "-f", "-", stdin=ANYTHING)
    thing = "apiVersion: stable.example.com/v1\nkind: Thing\nmetadata: {name: t}\nwhat: {ever: [1]}\n"
    assert kubectl("apply", "-f", "-", stdin=thing) == "thing.stable.example.com/t created\n"
    assert json.loads(kubectl("get", "thing", "t", "-o", "json"))["what"] == {"ever": [1]}
    assert "KIND:       Thing" in kubectl("explain", "things")


def test_watch_hears_of_them(kubectl: Kubectl) -> None:
    """get --watch prints a line for each event."""
    watch = kubectl.start("get", "ct", "--watch", "--output-watch-events", "--no-headers")
    try:
        kubectl("create", "-f", "-", stdin="apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {name: seen}\n"
                'spec: {cronSpec: "* * * * *"}\n')
        kubectl("delete", "ct", "seen")
        assert watch.stdout is not None
        lines = [watch.stdout.readline().split()[:2] for _ in range(3)]
        assert lines == [["ADDED", "first"], ["ADDED", "seen"], ["DELETED", "seen"]]
    finally:
        watch.kill()
        watch.communicate()


def test_the_definition_takes_its_objects_along(kubectl: Kubectl) -> None:
    """Deleting the definition deletes its objects and its name."""
    kubectl("delete", "crd", "crontabs.stable.example.com", "--timeout=30s")
    said = kubectl("get", "--raw", "/apis/stable.example.com/v1/crontabs", ok=False)
    assert "the server could not find the requested resource" in said
