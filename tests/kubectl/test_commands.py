"""Every subcommand that kubectl has, with what it prints; on hollow nodes, since none looks into a container."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelab import Cluster
from kubelab.magics import kubectl_path
from tests.kubectl.conftest import Kubectl

ZOO = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: zebras.zoo.example.com}
spec:
  group: zoo.example.com
  scope: Namespaced
  names: {plural: zebras, singular: zebra, kind: Zebra, shortNames: [zb]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {stripes: {type: integer}}}}}
---
apiVersion: zoo.example.com/v1
kind: Zebra
metadata: {name: z}
spec: {stripes: 5}
"""
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reconciled, namespace: default}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"""
# (words, what standard output matches), in this order: later ones build on earlier ones
COMMANDS = [
    ("api-resources --api-group=apps -o name", r"controllerrevisions\.apps\n(.*\n)*statefulsets\.apps\n$"),
    ("api-versions", r"(?m)^flowcontrol\.apiserver\.k8s\.io/v1$"),
    ("cluster-info", "Kubernetes control plane is running at https://127.0.0.1"),
    ("config view --minify -o jsonpath={.current-context}", "lab"),
    ("config current-context", "lab"),
    ("options", "--as-group"), ("completion bash", "__start_kubectl"), ("version -o json", '"gitVersion": "v1.36'),
    ("create deployment web --image=nginx --replicas=2", "^deployment.apps/web created\n$"),
    ("create clusterrole cr --verb=get --non-resource-url=/logs", "^clusterrole.*/cr created\n$"),
    ("create clusterrolebinding crb --clusterrole=cr --user=jane", "^clusterrolebinding.*/crb created\n$"),
    ("create role r --verb=get --resource=pods", "^role.rbac.authorization.k8s.io/r created\n$"),
    ("create rolebinding rb --role=r --user=jane", "^rolebinding.rbac.authorization.k8s.io/rb created\n$"),
    ("create configmap cm --from-literal=a=b", "^configmap/cm created\n$"),
    ("create cronjob cj --image=busybox --schedule=0_0_1_1_* -- date", "^cronjob.batch/cj created\n$"),
    ("create job j --from=cronjob/cj", "^job.batch/j created\n$"),
    ("create ingress ing --rule=foo.com/*=web:80", "^ingress.networking.k8s.io/ing created\n$"),
    ("create poddisruptionbudget pdb --selector=app=web --min-available=1", "^poddisruptionbudget.*/pdb created\n$"),
    ("create priorityclass pc --value=10", "^priorityclass.scheduling.k8s.io/pc created\n$"),
    ("create quota q --hard=pods=100", "^resourcequota/q created\n$"),
    ("create secret generic s1 --from-literal=a=b", "^secret/s1 created\n$"),
    ("create secret docker-registry s2 --docker-username=u --docker-password=p", "^secret/s2 created\n$"),
    ("create service clusterip sc --tcp=80:80", "^service/sc created\n$"),
    ("create service nodeport sn --tcp=80:80", "^service/sn created\n$"),
    ("create service externalname se --external-name=x.com", "^service/se created\n$"),
    ("create service loadbalancer sl --tcp=80:80", "^service/sl created\n$"),
    ("create serviceaccount sa", "^serviceaccount/sa created\n$"),
    ("create token sa", r"^[\w-]+\.[\w-]+\.[\w-]+$"),
    ("rollout status deploy/web --timeout=60s", 'deployment "web" successfully rolled out'),
    ("autoscale deployment web --min=1 --max=3 --cpu=80%", "^horizontalpodautoscaler.autoscaling/web autoscaled\n$"),
    ("get hpa", r"web +Deployment/web +cpu: <unknown>/80% +1 +3"),
    ("get deploy web --subresource=scale", r"^NAME +DESIRED +AVAILABLE +AGE\nweb +2 +2 +\d+s\n$"),
    ("set env deploy/web A=B", "^deployment.apps/web env updated\n$"),
    ("set resources deploy/web --limits=cpu=200m", "^deployment.apps/web resource requirements updated\n$"),
    ("set selector svc/sc a=b", "^service/sc selector updated\n$"),
    ("set serviceaccount deploy/web sa", "^deployment.apps/web serviceaccount updated\n$"),
    ("set subject rolebinding rb --user=joe", "^rolebinding.rbac.authorization.k8s.io/rb subjects updated\n$"),
    ("set image deploy/web nginx=nginx:2", "^deployment.apps/web image updated\n$"),
    ("rollout status deploy/web --timeout=60s", 'deployment "web" successfully rolled out'),
    ("auth can-i --list", r"\*\.\* +\[\] +\[\] +\[\*\]"),
    ("auth can-i delete pods --as=jane", "^no\n$"),
    ("describe quota q", r"pods +\d +100"), ("describe pdb pdb", "Min available:  1"), ("describe sa sa", "Name: +sa"),
    ("describe cronjob cj", r"Schedule: +0 0 1 1 \*"), ("describe ing ing", r"foo\.com"),
    ("describe hpa web", "Reference"),
    ("get componentstatuses", r"etcd-0 +Healthy"), ("get --raw /readyz?verbose", "readyz check passed"),
    ("get deploy web -o jsonpath-as-json={.spec.replicas}", r"\[\s+2\s+\]"),
    ("get pods -o custom-columns=N:.metadata.name --sort-by=.metadata.name --no-headers", r"web-\w+-\w+\n"),
    ("cluster-info dump --namespaces=default", '"kind": "NodeList"'), ("label pods --list -l app=web", "app=web"),
    ("annotate --all pods x=y", "annotated"), ("events --types=Normal", "SuccessfulCreate"),
    ("apply set-last-applied -f - --create-annotation", "role.rbac.authorization.k8s.io/reconciled configured"),
    ("apply view-last-applied role reconciled", "apiGroups"), ("auth reconcile -f -", "reconciled"),
    ("replace -f -", "^role.rbac.authorization.k8s.io/reconciled replaced\n$"),
    ("replace --force -f -", "^role.*reconciled. deleted.*\nrole.rbac.authorization.k8s.io/reconciled replaced\n$"),
    ("delete deploy,job,cronjob --all", "(?s)deployment.apps \"web\" deleted.*job.batch \"j\" deleted"),
]


@pytest.fixture(scope="module")
def hollow() -> Iterator[Kubectl]:
    with Cluster(nodes=2, runtime="hollow", quiet=True) as cluster:
        yield Kubectl(Path(cluster.kubeconfig), "hollow")


def test_every_command(hollow: Kubectl) -> None:
    """Each prints what real Kubernetes lets it print."""
    assert hollow("create", "-f", "-", stdin=ROLE) == "role.rbac.authorization.k8s.io/reconciled created\n"
    for words, expected in COMMANDS:
        ok = "can-i delete" not in words
        said = hollow(*(word.replace("_", " ") for word in words.split()), stdin=ROLE, ok=ok)
        assert re.search(expected, said), (words, said)


def test_every_kind_is_explained_and_listed(hollow: Kubectl) -> None:
    """`explain --recursive` and `get` know each kind that api-resources names."""
    for line in hollow("api-resources", "--no-headers", "-o", "wide").splitlines():
        match = re.match(r"(\S+).*? (\S*v\d\S*) +(?:true|false) +(\S+) +(\S+)", line)
        assert match, line
        name, version, kind, verbs = match.groups()
        shown = hollow("explain", name, "--recursive", "--api-version", version)
        assert f"KIND:       {kind}\n" in shown and "FIELDS:" in shown, (name, shown[:200])
        if "list" in verbs:
            group = version.rpartition("/")[0]
            hollow("get", f"{name}.{version.rpartition('/')[2]}.{group}" if group else name, "-A")


def test_definitions_and_their_objects_in_one_file(hollow: Kubectl) -> None:
    """A definition and an object of it are made at one go, and told as there the second time."""
    assert hollow("create", "-f", "-", stdin=ZOO) == (
        "customresourcedefinition.apiextensions.k8s.io/zebras.zoo.example.com created\n"
        "zebra.zoo.example.com/z created\n")
    again = hollow("create", "-f", "-", stdin=ZOO, ok=False)
    assert again.count("(AlreadyExists)") == 2
    assert hollow("get", "zb", "-o", "name") == "zebra.zoo.example.com/z\n"


LIST = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: listed}}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: listed}
  spec:
    selector: {matchLabels: {a: b}}
    template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}
"""


def test_a_list_is_checked_and_created(hollow: Kubectl) -> None:
    """Lists have no schema of their own: kubectl checks them by OpenAPI v2, which it reads in protobuf."""
    wrong = hollow("create", "-f", "-", stdin=LIST.replace("image:", "imagee:"), ok=False)
    assert 'unknown field "imagee" in io.k8s.api.core.v1.Container' in wrong
    assert hollow("create", "-f", "-", stdin=LIST) == "configmap/listed created\ndeployment.apps/listed created\n"
    again = hollow("get", "cm/listed", "deploy/listed", "-o", "yaml")
    assert "deployment.apps/listed configured\n" in hollow("apply", "-f", "-", stdin=again)


@pytest.mark.parametrize("words", [
    "apply -f -", "get pods -A", "get all", "create configmap calm", "describe node node-1", "explain pod.spec",
    "api-resources", "auth can-i --list", "get nodes -o wide", "run calm --image=nginx", "top --help",
    "wait pod/calm --for=condition=Ready --timeout=30s", "label pod calm a=b", "delete pod calm --now --wait=false"])
def test_normal_work_meets_no_missing_path(hollow: Kubectl, words: str) -> None:
    """What kubectl asks beside what it is told is there, and in a form it likes."""
    done = subprocess.run([str(kubectl_path()), *words.split(), "--v=8"], env=hollow.environment, input=ZOO,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    wrong = [line for line in done.stderr.splitlines() if re.search(r'"Response" status="(4(04|05|06|15)|5\d\d)', line)]
    assert wrong == []
