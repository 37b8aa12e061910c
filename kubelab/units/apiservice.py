"""APIService: which server answers for a group version; the built-in ones are answered here ("Local").

Models: kube-aggregator's apiregistration and its list of local groups
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.meta import get_condition
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

GROUP = "apiregistration.k8s.io"
# Built-in groups with the priority that orders discovery; what is registered by hand or by a CRD has 1000 and 100.
GROUP_PRIORITIES = {
    "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600,
    "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100,
    "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500,
    "node.k8s.io": 16300, "discovery.k8s.io": 16200, "resource.k8s.io": 16200, "flowcontrol.apiserver.k8s.io": 16100,
}
VERSION_PRIORITIES = {"v1.": 1, "v2.autoscaling": 30, "v1.flowcontrol.apiserver.k8s.io": 21}
DEFAULT_VERSION_PRIORITY = 15
LOCAL = {"type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available"}


def local_service(group: str, version: str, stamp: str) -> Obj:
    """Return the APIService of a group version that this API server itself answers for."""
    name = f"{version}.{group}"
    return {"kind": "APIService", "apiVersion": f"{GROUP}/v1",
            "metadata": {"name": name, "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"}},
            "spec": {"group": group, "version": version, "groupPriorityMinimum": GROUP_PRIORITIES.get(group, 1000),
                     "versionPriority": VERSION_PRIORITIES.get(name, DEFAULT_VERSION_PRIORITY)} if group else
            {"version": version, "groupPriorityMinimum": GROUP_PRIORITIES[""], "versionPriority": 1},
            "status": {"conditions": [{"type": "Available", "status": "True", "lastTransitionTime": stamp} | LOCAL]}}


def _default(service: Obj) -> None:
    reference = (service.get("spec") or {}).get("service")
    if reference is not None:
        reference.setdefault("port", 443)


def _prepare(service: Obj) -> None:
    """A service of this server's own is available from the start."""
    local = (service.get("spec") or {}).get("service") is None
    condition = {"type": "Available", "status": "True", "lastTransitionTime": service["metadata"]["creationTimestamp"]}
    service["status"] = {"conditions": [condition | LOCAL]} if local else {}


def _validate(service: Obj) -> Sequence[FieldError]:
    return list(_errors(service["metadata"].get("name") or "", service.get("spec") or {}))


def _errors(name: str, spec: Obj) -> rules.Errors:
    group, version, reference = spec.get("group", ""), spec.get("version", ""), spec.get("service")
    if name != f"{version}.{group}":
        yield invalid_value("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{version}.{group}"')
    if not group and version != "v1":
        yield required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    if group:
        yield from rules.subdomain_name("spec.group", group)
    yield from rules.messages("spec.version", version, names.dns1035_label_errors)
    for key, highest in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        if not 0 < spec.get(key, 0) <= highest:
            yield invalid_value(f"spec.{key}", spec.get(key, 0), f"must be positive and less than {highest}")
    bundle, insecure = spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    if reference is None:
        if bundle:
            yield invalid_value("spec.caBundle", f"{len(bundle) * 3 // 4} bytes",
                                "local APIServices may not have a caBundle")
        if insecure:
            yield invalid_value("spec.insecureSkipTLSVerify", True,
                                "local APIServices may not have insecureSkipTLSVerify")
        return
    for key in ("namespace", "name"):
        if not reference.get(key):
            yield required(f"spec.service.{key}")
    port = reference.get("port", 443)
    if not 1 <= port <= 65535:
        yield invalid_value("spec.service.port", port, f"port is not valid: {rules.PORT_RANGE}")
    if insecure and bundle:
        yield invalid_value("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")


def _status_errors(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    return [error for i, condition in enumerate((new.get("status") or {}).get("conditions") or ())
            for error in rules.known(f"status.conditions[{i}].status", condition.get("status", ""),
                                     ("True", "False", "Unknown"))]


def _service_text(service: Obj) -> str:
    reference = (service.get("spec") or {}).get("service")
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else "Local"


def _available_text(service: Obj) -> str:
    condition = get_condition(service, "Available") or {}
    status = condition.get("status") or "Unknown"
    return f"{status} ({condition['reason']})" if status != "True" and condition.get("reason") else str(status)


API_SERVICE = Kind(
    "APIService", "apiservices", group=GROUP, namespaced=False, categories=("api-extensions",), validate_name="path",
    subresources=frozenset({"status"}), default=_default, prepare_create=_prepare, validate=_validate,
    validate_part=_status_errors,
    columns=(
        NAME,
        Column("Service", lambda o, now: _service_text(o),
               description="The reference to the service that hosts this API endpoint."),
        Column("Available", lambda o, now: _available_text(o), description="Whether this service is available."),
        AGE,
    ),
)
