"""What a pod is given on its way in: an account and its token, a priority, tolerations, a runtime's overhead, a zone.

    Pod ─► ServiceAccount ─► Priority ─► DefaultTolerationSeconds ─► RuntimeClass ─► ... ─► bound: PodTopologyLabels

Invariant: what a pod names exists, and what follows from it cannot be claimed otherwise.
Models:    plugin/pkg/admission/{serviceaccount,priority,defaulttolerationseconds,runtimeclass,podtopologylabels}
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes, Plugin
from kubelab.machinery.meta import random_suffix
from kubelab.machinery.quantity import parse
from kubelab.machinery.request import Obj
from kubelab.units.pods.annotations import MIRROR
from kubelab.units.pods.references import references

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, not a secret
TOKEN_SECONDS = 3607
SCHEDULING = "scheduling.k8s.io"
TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
TOPOLOGY = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class ServiceAccount(Plugin):
    """A pod runs as a service account that exists, with its token mounted unless it says no."""

    name = "ServiceAccount"
    handles = ("CREATE pods",)

    def admit(self, a: Attributes) -> None:
        spec, metadata = a.obj["spec"], a.obj["metadata"]
        if MIRROR in (metadata.get("annotations") or {}):
            return
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        account = self.get("", "serviceaccounts", f"{a.namespace}/{name}")
        if account is None:
            raise a.forbidden(f'error looking up service account {a.namespace}/{name}: serviceaccount "{name}" '
                              "not found")
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.get("automountServiceAccountToken")
        if wanted is not False:
            mount_token(spec)
        secrets = account.get("imagePullSecrets")
        if secrets and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = list(secrets)

    def validate(self, a: Attributes) -> None:
        spec = a.obj["spec"]
        if MIRROR not in (a.obj["metadata"].get("annotations") or {}):
            return
        if spec.get("serviceAccountName"):
            raise a.forbidden("a mirror pod may not reference service accounts")
        if references(spec, "secret"):
            raise a.forbidden("a mirror pod may not reference secrets")
        projected = [volume.get("projected") or NO_OBJ for volume in spec.get("volumes") or ()]
        if any(source.get("serviceAccountToken") is not None for p in projected for source in p.get("sources") or ()):
            raise a.forbidden("a mirror pod may not use ServiceAccountToken volume projections")


def mount_token(spec: Obj) -> None:
    """Add the projected volume with token, CA and namespace, and mount it where client libraries look for it."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    lacking = [c for c in containers
               if all(mount.get("mountPath") != TOKEN_PATH for mount in c.get("volumeMounts") or ())]
    if not lacking:
        return
    volumes = spec.setdefault("volumes", [])
    name = next((v["name"] for v in volumes if str(v.get("name", "")).startswith("kube-api-access-")), "")
    if not name:
        name = f"kube-api-access-{random_suffix()}"
        volumes.append({"name": name, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {
                "apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}})
    for container in lacking:
        container.setdefault("volumeMounts", []).append({"name": name, "readOnly": True, "mountPath": TOKEN_PATH})


class Priority(Plugin):
    """A pod's class becomes the number that the scheduler compares."""

    name = "Priority"
    handles = ("CREATE pods", "UPDATE pods", "CREATE priorityclasses", "UPDATE priorityclasses")

    def admit(self, a: Attributes) -> None:
        if a.call.kind.plural != "pods":
            return
        spec = a.obj["spec"]
        if a.operation == "UPDATE":  # what was computed is not for who writes the pod again to know
            for key in ("priority", "preemptionPolicy"):
                if spec.get(key) is None and a.old["spec"].get(key) is not None:
                    spec[key] = a.old["spec"][key]
            return
        name = spec.get("priorityClassName")
        found = self.get(SCHEDULING, "priorityclasses", name) if name else self._default()
        if name and found is None:
            raise a.forbidden(f"no PriorityClass with name {name} was found")
        value, policy = 0, "PreemptLowerPriority"
        if found is not None:
            spec["priorityClassName"] = found["metadata"]["name"]
            value, policy = found.get("value", 0), found.get("preemptionPolicy") or policy
        if spec.get("priority") not in (None, value):
            raise a.forbidden(f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                              f"priority admission controller computed {value} from the given PriorityClass name")
        if (spec.get("preemptionPolicy") or policy) != policy:
            raise a.forbidden(f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided "
                              f"in pod spec; priority admission controller computed {policy} from the given "
                              "PriorityClass name")
        spec["priority"], spec["preemptionPolicy"] = value, policy

    def validate(self, a: Attributes) -> None:
        if a.call.kind.plural == "pods" or not a.obj.get("globalDefault"):
            return
        other = self._default()
        if other is not None and other["metadata"]["name"] != a.name:
            raise a.forbidden(f"PriorityClass {other['metadata']['name']} is already marked as default. "
                              "Only one default can exist")

    def _default(self) -> Obj | None:
        classes = [c for c in self.objects(SCHEDULING, "priorityclasses") if c.get("globalDefault")]
        return min(classes, key=lambda c: int(c.get("value", 0)), default=None)


class DefaultTolerationSeconds(Plugin):
    """A pod stays five minutes on a node that is lost, unless it says otherwise."""

    name = "DefaultTolerationSeconds"
    handles = ("CREATE pods", "UPDATE pods")

    def admit(self, a: Attributes) -> None:
        add_tolerations(a.obj["spec"])


def add_tolerations(spec: Obj) -> None:
    """Let a pod stay five minutes on a node that is not ready or not reachable, unless it says otherwise."""
    tolerations = spec.get("tolerations") or []
    missing = [key for key in TOLERATED if not any(
        t.get("key", "") in (key, "") and t.get("effect", "") in ("NoExecute", "") and
        (t.get("key") or t.get("operator") == "Exists") for t in tolerations)]
    if missing:
        spec["tolerations"] = tolerations + [{"key": key, "operator": "Exists", "effect": "NoExecute",
                                              "tolerationSeconds": 300} for key in missing]


class RuntimeClass(Plugin):
    """One that is named must exist; its overhead and its placement become the pod's."""

    name = "RuntimeClass"
    handles = ("CREATE pods",)

    def admit(self, a: Attributes) -> None:
        spec = a.obj["spec"]
        name, given = spec.get("runtimeClassName"), spec.get("overhead")
        found = self.get("node.k8s.io", "runtimeclasses", name) if name else None
        if name and found is None:
            raise a.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
        overhead = ((found or NO_OBJ).get("overhead") or NO_OBJ).get("podFixed")
        if given and not overhead:
            raise a.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        if overhead:
            if given and not _equal(given, overhead):
                raise a.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec["overhead"] = dict(overhead)
        if found is not None and found.get("scheduling"):
            _place(a, spec, found["scheduling"])


def _place(a: Attributes, spec: Obj, scheduling: Obj) -> None:
    selector = spec.get("nodeSelector") or {}
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            raise a.forbidden(f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                              f"pod.spec.nodeSelector[{key}] = {selector[key]}")
    if scheduling.get("nodeSelector"):
        spec["nodeSelector"] = {**selector, **scheduling["nodeSelector"]}
    tolerations = spec.get("tolerations") or []
    added = [t for t in scheduling.get("tolerations") or () if t not in tolerations]
    if added:
        spec["tolerations"] = [*tolerations, *added]


def _equal(one: Obj, other: Obj) -> bool:
    return one.keys() == other.keys() and all(parse(one[key]) == parse(other[key]) for key in one)


class PodTopologyLabels(Plugin):
    """A pod that is bound learns the zone and region of its node, as labels."""

    name = "PodTopologyLabels"
    handles = ("CREATE pods/binding",)

    def admit(self, a: Attributes) -> None:
        node = self.get("", "nodes", (a.obj.get("target") or {}).get("name", ""))
        given = node["metadata"].get("labels") or {} if node is not None else {}
        found = {label: given[label] for label in TOPOLOGY if label in given}
        if found:
            metadata = a.obj["metadata"]
            metadata["labels"] = {**(metadata.get("labels") or {}), **found}
