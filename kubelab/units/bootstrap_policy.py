"""The roles and bindings of a new cluster: who may do what before anyone was given anything.

The policy stands in bootstrap_policy.txt, one rule a line, facts of a real Kubernetes 1.36:

    ClusterRole system:basic-user
      create authorization.k8s.io selfsubjectaccessreviews,selfsubjectrulesreviews      (verbs groups resources)
      get core configmaps named extension-apiserver-authentication                      (... only these names)
      get url /healthz,/version                                                         (verbs, paths)
      label aggregate-to-edit                    (an aggregated role takes this one in)
      gather aggregate-to-view                   (this is one: its rules are those of the roles so labelled)
    ClusterRoleBinding system:discovery ClusterRole:system:discovery Group:system:authenticated

Each system:controller:x is bound to the service account kube-system/x; those bindings are not written out.

Invariant: the same text gives the same objects, in name order, aggregation resolved.
Models:    kube-apiserver's rbac/bootstrappolicy, and the role that kubeadm gives its DNS add-on
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kubelab.machinery.request import Obj

GROUP = "rbac.authorization.k8s.io"
CONTROLLER = "system:controller:"

DNS = """
ClusterRole system:coredns
  list,watch core endpoints,services,pods,namespaces,nodes
  list,watch discovery.k8s.io endpointslices
ClusterRoleBinding system:coredns ClusterRole:system:coredns User:system:dns ServiceAccount:kube-system/coredns
Role kube-system system:coredns
  create core services,endpoints
  create discovery.k8s.io endpointslices
RoleBinding kube-system system:coredns Role:system:coredns User:system:dns
"""


def policy_objects(addons: bool = True) -> list[Obj]:
    """Return the cluster roles, roles and their bindings of a new cluster; with `addons`, those of its DNS too."""
    text = Path(__file__).with_suffix(".txt").read_text()
    objects = list(_parse(text))
    roles = [obj for obj in objects if obj["kind"] == "ClusterRole"]
    for role in roles:
        name = role["metadata"]["name"]
        if name.startswith(CONTROLLER):
            account = {"kind": "ServiceAccount", "name": name.removeprefix(CONTROLLER), "namespace": "kube-system"}
            objects.append(_binding("ClusterRoleBinding", {"name": name}, {"kind": "ClusterRole", "name": name},
                                    [account]))
    for name in ("view", "edit", "admin"):  # each takes in the one before
        _aggregate(next(role for role in roles if role["metadata"]["name"] == name), roles)
    for obj in objects:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/bootstrapping"] = "rbac-defaults"
        obj["metadata"]["annotations"] = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
    return objects + (list(_parse(DNS)) if addons else [])


def _parse(text: str) -> Iterator[Obj]:
    role: Obj = {}
    for line in text.splitlines():
        words = line.split()
        if line.startswith(" "):
            _add_line(role, words)
        elif words and words[0] in ("ClusterRole", "Role"):
            role = {"kind": words[0], "apiVersion": f"{GROUP}/v1", "metadata": _metadata(words[1:]), "rules": []}
            yield role
        elif words:
            at = 3 if words[0] == "RoleBinding" else 2
            ref, *subjects = words[at:]
            kind, _, name = ref.partition(":")
            yield _binding(words[0], _metadata(words[1:at]), {"kind": kind, "name": name},
                           [_subject(subject) for subject in subjects])


def _metadata(words: list[str]) -> Obj:
    return {"name": words[0]} if len(words) == 1 else {"namespace": words[0], "name": words[1]}


def _add_line(role: Obj, words: list[str]) -> None:
    first, second, *rest = words
    if first == "label":
        role["metadata"].setdefault("labels", {})[f"{GROUP}/{second}"] = "true"
    elif first == "gather":
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {f"{GROUP}/{second}": "true"}}]}
    elif second == "url":
        role["rules"].append({"verbs": first.split(","), "nonResourceURLs": rest[0].split(",")})
    else:
        groups = ["" if group == "core" else group for group in second.split(",")]
        rule: Obj = {"verbs": first.split(","), "apiGroups": groups, "resources": rest[0].split(",")}
        if len(rest) == 3:
            rule["resourceNames"] = rest[2].split(",")
        role["rules"].append(rule)


def _subject(text: str) -> Obj:
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition("/")
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"kind": kind, "apiGroup": GROUP, "name": name}


def _binding(kind: str, metadata: Obj, ref: Obj, subjects: list[Obj]) -> Obj:
    binding: Obj = {"kind": kind, "apiVersion": f"{GROUP}/v1", "metadata": metadata}
    if subjects:
        binding["subjects"] = subjects
    return binding | {"roleRef": {"apiGroup": GROUP, **ref}}


def _aggregate(role: Obj, roles: list[Obj]) -> None:
    """Fill a role with the rules of the roles that its selector matches, each rule once."""
    wanted = role["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"].items()
    for other in roles:
        if wanted <= (other["metadata"].get("labels") or {}).items():
            role["rules"] += [rule for rule in other["rules"] if rule not in role["rules"]]
