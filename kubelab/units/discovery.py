"""Discovery: which groups, versions and resources there are, in the old form and the aggregated one.

    /api, /apis                         groups and versions
    /api/v1, /apis/apps/v1              resources of one version
    the same with Accept: ...;as=APIGroupDiscoveryList     everything at once

Invariant: both forms are written from the same catalogue.
Models:    k8s.io/apiserver/pkg/endpoints/discovery
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from kubelab.machinery.request import Obj
from kubelab.units.answers import VIRTUAL, answer_of
from kubelab.units.catalogue import Kind
from kubelab.units.custom import priority
from kubelab.units.versions import FACES

# The order in which kube-apiserver lists its groups.
GROUPS = ("apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
          "autoscaling", "batch", "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io",
          "storage.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io",
          "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io")
# Kinds that Kubernetes 1.36 still stores in an older version than it prefers to show.
STORED_VERSIONS = {"MutatingAdmissionPolicy": "v1beta1", "MutatingAdmissionPolicyBinding": "v1beta1",
                   "CustomResourceDefinition": "v1beta1"}


class Discovery:
    """Writes the discovery documents of a set of kinds."""

    def __init__(self, kinds: Iterable[Kind], server_address: str) -> None:
        self._address = server_address
        self._kinds: dict[tuple[str, str], list[Kind]] = {}
        for kind in sorted((*kinds, *VIRTUAL), key=lambda kind: kind.plural):
            self._kinds.setdefault((kind.group, kind.version), []).append(kind)
        self._own = dict(self._kinds)
        self._shown: dict[tuple[str, str], list[Obj]] = {}  # in the aggregated form
        self.elsewhere: dict[tuple[str, str], list[Obj]] = {}  # what extension servers say of their group versions

    def publish(self, custom: Iterable[Kind]) -> None:
        """Show these kinds besides our own from now on."""
        self._shown.clear()
        self._kinds = {version: list(kinds) for version, kinds in self._own.items()}
        for kind in sorted(custom, key=lambda kind: (priority(kind.version), kind.plural)):
            self._kinds.setdefault((kind.group, kind.version), []).append(kind)

    def document(self, path: str, accept: str) -> Obj | None:
        """Return the document at a path such as /apis/apps/v1, None where there is none."""
        parts = [part for part in path.split("/") if part]
        aggregated = any({"as=APIGroupDiscoveryList", "g=apidiscovery.k8s.io", "v=v2"} <= {*clause.split(";")}
                         for clause in accept.replace(" ", "").split(","))
        match parts:
            case ["api"]:
                return self._aggregated([""]) if aggregated else self._legacy()
            case ["apis"]:
                return self._aggregated(self._groups()) if aggregated else self._group_list()
            case ["api", version]:
                return self._resources("", version)
            case ["apis", group]:
                return self._group(group, alone=True) if group in self._groups() else None
            case ["apis", group, version]:
                return self._resources(group, version)
        return None

    def paths(self) -> list[str]:
        """Return every discovery path, for the root document."""
        found = ["/api", "/api/v1", "/apis"]
        for group in sorted(self._groups()):
            found += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in self._versions(group))]
        return found

    def _groups(self) -> list[str]:
        known = {group for group, _ in (*self._kinds, *self.elsewhere) if group}
        return [group for group in GROUPS if group in known] + sorted(known - set(GROUPS))

    def _versions(self, group: str) -> list[str]:
        return [version for owner, version in dict.fromkeys((*self._kinds, *self.elsewhere)) if owner == group]

    def _legacy(self) -> Obj:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}]}

    def _group_list(self) -> Obj:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(group) for group in self._groups()]}

    def _group(self, group: str, *, alone: bool = False) -> Obj:
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in self._versions(group)]
        head = {"kind": "APIGroup", "apiVersion": "v1"} if alone else {}
        return {**head, "name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resources(self, group: str, version: str) -> Obj | None:
        kinds = self._kinds.get((group, version))
        if kinds is None:
            return None
        found = [one for kind in kinds for one in _resources(kind)]
        out: Obj = {"kind": "APIResourceList"}
        if group:
            out["apiVersion"] = "v1"
        return out | {"groupVersion": kinds[0].api_version, "resources": found}

    def _version(self, group: str, version: str) -> list[Obj]:
        if (group, version) in self.elsewhere:
            return from_list(group, version, self.elsewhere[group, version])
        found = self._shown.get((group, version))
        if found is None:
            found = self._shown[group, version] = []
            for kind in self._kinds[group, version]:  # what our own kinds answer with is left for the reader to know
                found += from_list(*(("", "") if kind.own is None else (group, version)), _resources(kind))
        return found

    def _aggregated(self, groups: Iterable[str]) -> Obj:
        items = []
        for group in groups:
            versions = [{"version": version, "resources": self._version(group, version), "freshness": "Current"}
                        for version in self._versions(group)]
            items.append({"metadata": {"name": group} if group else {}, "versions": versions})
        return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def from_list(group: str, version: str, resources: Iterable[Obj]) -> list[Obj]:
    """Return the resources of an APIResourceList in the aggregated form."""
    found: dict[str, Obj] = {}
    for resource in resources:
        name, _, part = resource["name"].partition("/")
        answer = {"group": resource.get("group") or group, "version": resource.get("version") or version,
                  "kind": resource["kind"]}
        if part and name in found:
            entry = {"subresource": part, "responseKind": answer, "verbs": resource["verbs"]}
            found[name].setdefault("subresources", []).append(entry)
        elif not part:
            found[name] = {"resource": name, "responseKind": answer, "verbs": resource["verbs"],
                           "scope": "Namespaced" if resource.get("namespaced") else "Cluster",
                           "singularResource": resource.get("singularName") or resource["kind"].lower()}
            found[name] |= {key: resource[key] for key in ("shortNames", "categories") if resource.get(key)}
    return list(found.values())


def _resources(kind: Kind) -> list[Obj]:
    return [_resource(kind), *(_subresource(kind, name) for name in sorted(kind.subresources))]


def _resource(kind: Kind) -> Obj:
    out: Obj = {"name": kind.plural, "singularName": kind.singular or kind.kind.lower(), "namespaced": kind.namespaced,
                "kind": kind.kind, "verbs": list(kind.verbs)}
    if kind.short_names:
        out["shortNames"] = list(kind.short_names)
    if kind.categories:
        out["categories"] = list(kind.categories)
    if "update" in kind.verbs:  # it is stored
        out["storageVersionHash"] = storage_version_hash(kind)
    return out


def _subresource(kind: Kind, name: str) -> Obj:
    group, version, answer, verbs = answer_of(kind, name)
    out: Obj = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
    if group:
        out |= {"group": group, "version": version}
    return out | {"kind": answer, "verbs": list(verbs)}


def storage_version_hash(kind: Kind) -> str:
    """Return the hash that tells clients whether a kind's stored form has changed."""
    face = FACES.get((kind.group, kind.version, kind.plural))
    version = kind.own.storage_version if kind.own is not None else STORED_VERSIONS.get(kind.kind, kind.version)
    text = f"{face.group}/{face.version}/{kind.kind}" if face else f"{kind.group}/{version}/{kind.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()
