"""Ingress and IngressClass: which host and path leads to which Service, and who makes it so.

Models: pkg/registry/networking and pkg/apis/networking/validation of kube-apiserver
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules, status_validation, warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE, addresses_text

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDINGS = ("/..", "/.")
_WILDCARD = re.compile(r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def _prepare_create(ingress: Obj) -> None:
    ingress["status"] = {"loadBalancer": {}}


def _validate(ingress: Obj) -> Sequence[FieldError]:
    spec = ingress.get("spec") or {}
    errors = list(_spec_errors(spec))
    annotation = (ingress["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    if annotation is not None and spec.get("ingressClassName") not in (None, annotation):
        errors.append(invalid_value("annotations.kubernetes.io/ingress.class", annotation,
                                    "must match `ingressClassName` when both are specified"))
    return errors


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(_spec_errors(new.get("spec") or {}))  # the annotation may be added later


def _spec_errors(spec: Obj) -> rules.Errors:
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        yield invalid_value("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend") is not None:
        yield from _backend("spec.defaultBackend", spec["defaultBackend"])
    for i, rule in enumerate(spec.get("rules") or ()):
        yield from _rule(f"spec.rules[{i}]", rule)
    for i, tls in enumerate(spec.get("tls") or ()):
        for j, host in enumerate(tls.get("hosts") or ()):
            yield from _host(f"spec.tls[{i}].hosts[{j}]", host)
        if tls.get("secretName"):
            yield from rules.subdomain_name(f"spec.tls[{i}].secretName", tls["secretName"])
    if spec.get("ingressClassName") is not None:
        yield from rules.subdomain_name("spec.ingressClassName", spec["ingressClassName"])


def _host(path: str, host: str) -> rules.Errors:
    if "*" not in host:
        yield from rules.subdomain_name(path, host)
    elif not _WILDCARD.fullmatch(host):
        yield invalid_value(path, host, names.regex_message(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist "
            "of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            _WILDCARD.pattern, "*.example.com"))


def _rule(path: str, rule: Obj) -> rules.Errors:
    host = rule.get("host", "")
    if host:
        if rules.is_ip(host):
            yield invalid_value(f"{path}.host", host, "must be a DNS name, not an IP address")
        yield from _host(f"{path}.host", host)
    if rule.get("http") is None:
        return
    paths = rule["http"].get("paths") or ()
    if not paths:
        yield required(f"{path}.http.paths")
    for i, entry in enumerate(paths):
        yield from _path(f"{path}.http.paths[{i}]", entry)


def _path(field: str, entry: Obj) -> rules.Errors:
    kind, path = entry.get("pathType"), entry.get("path", "")
    if kind is None:
        yield required(f"{field}.pathType", "pathType must be specified")
        return
    if kind not in PATH_TYPES:
        yield rules.unsupported(f"{field}.pathType", kind, PATH_TYPES)
    elif kind == "ImplementationSpecific":
        if path and not path.startswith("/"):
            yield invalid_value(f"{field}.path", path, "must be an absolute path")
    else:
        if not path.startswith("/"):
            yield invalid_value(f"{field}.path", path, "must be an absolute path")
        if path:
            for bad in _BAD_SEQUENCES:
                if bad in path:
                    yield invalid_value(f"{field}.path", path, f"must not contain '{bad}'")
            for bad in _BAD_ENDINGS:
                if path.endswith(bad):
                    yield invalid_value(f"{field}.path", path, f"cannot end with '{bad}'")
    yield from _backend(f"{field}.backend", entry.get("backend") or {})


def _backend(path: str, backend: Obj) -> rules.Errors:
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None and service is not None:
        yield invalid_value(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _reference(f"{path}.resource", resource)
    elif service is not None:
        yield from _service_backend(path, service)
    else:
        yield invalid_value(path, "", "resource or service backend is required")


def _reference(path: str, reference: Mapping[str, Any]) -> rules.Errors:
    """What a reference to an object of any kind may say, in a backend or in the parameters of a class."""
    if reference.get("apiGroup") is not None:
        yield from rules.subdomain_name(f"{path}.apiGroup", reference["apiGroup"])
    for key in ("kind", "name"):
        if not reference.get(key):
            yield required(f"{path}.{key}")
        else:
            yield from rules.messages(f"{path}.{key}", reference[key], names.path_segment_errors)


def _service_backend(path: str, service: Obj) -> rules.Errors:
    if not service.get("name"):
        yield required(f"{path}.service.name")
    else:
        yield from rules.messages(f"{path}.service.name", service["name"], names.dns1123_label_errors)
    port = service.get("port") or {}
    name, number = port.get("name", ""), port.get("number", 0)
    if name and number:
        yield invalid_value(path, "", "cannot set both port name & port number")
    elif name:
        yield from rules.port_name(f"{path}.service.port.name", name)
    elif number:
        yield from rules.port_number(f"{path}.service.port.number", number)
    else:
        yield required(path, "port name or number is required")


def _hosts_text(ingress: Obj) -> str:
    """Write at most three hosts, and how many rules there are beyond three, whether they name a host or not."""
    rules_ = (ingress.get("spec") or {}).get("rules") or ()
    at = [i for i, rule in enumerate(rules_) if rule.get("host")][:3]
    more = f" + {len(rules_) - 3} more..." if len(at) == 3 and at[-1] < len(rules_) - 1 else ""
    return ",".join(rules_[i]["host"] for i in at) + more or "*"


def _address_text(ingress: Obj) -> str:
    return addresses_text(((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress"))


INGRESS = Kind(
    "Ingress", "ingresses", group="networking.k8s.io", short_names=("ing",), subresources=frozenset({"status"}),
    generation=True, prepare_create=_prepare_create, validate=_validate, validate_update=_validate_update,
    update_alone=True,
    validate_part=status_validation.load_balancer,
    warnings=warnings.ingress,
    columns=(
        NAME,
        Column("Class", lambda o, now: (o.get("spec") or {}).get("ingressClassName") or NONE, description=
               "The name of the IngressClass resource that should be used for additional configuration"),
        Column("Hosts", lambda o, now: _hosts_text(o),
               description="Hosts that incoming requests are matched against before the ingress rule"),
        Column("Address", lambda o, now: _address_text(o),
               description="Address is a list containing ingress points for the load-balancer"),
        Column("Ports", lambda o, now: "80, 443" if (o.get("spec") or {}).get("tls") else "80",
               description="Ports of TLS configurations that open"),
        AGE,
    ),
)


def _validate_class(ingress_class: Obj) -> Sequence[FieldError]:
    return list(_class_errors(ingress_class.get("spec") or {}))


def _class_errors(spec: Obj) -> rules.Errors:
    controller, path = spec.get("controller", ""), "spec.controller"
    if not controller:
        yield required(path)
    else:
        if len(controller) > 250:
            yield rules.too_long(path, 250)
        yield from rules.domain_path(path, controller)
    yield from _parameters(spec.get("parameters"))


def _parameters(parameters: Mapping[str, Any] | None) -> rules.Errors:
    if parameters is None:
        return
    yield from _reference("spec.parameters", parameters)
    scope = parameters.get("scope")
    if scope is None:
        yield required("spec.parameters.scope")
    elif scope not in ("Cluster", "Namespace"):
        yield rules.unsupported("spec.parameters.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Namespace" and parameters.get("namespace") is None:
        yield required("spec.parameters.namespace", "`parameters.scope` is set to 'Namespace'")
    elif scope == "Namespace":
        yield from rules.label_name("spec.parameters.namespace", parameters["namespace"])
    elif scope == "Cluster" and parameters.get("namespace") is not None:
        yield rules.forbidden("spec.parameters.namespace", "`parameters.scope` is set to 'Cluster'")


def _default_class(ingress_class: Obj) -> None:
    parameters = (ingress_class.get("spec") or {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def _class_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    after, before = ((o.get("spec") or {}).get("controller", "") for o in (new, old))
    return list(rules.immutable("spec.controller", after, before))


def _parameters_text(ingress_class: Obj) -> str:
    found = (ingress_class.get("spec") or {}).get("parameters")
    if found is None:
        return NONE
    group = f".{found['apiGroup']}" if found.get("apiGroup") else ""
    return f"{found.get('kind', '')}{group}/{found.get('name', '')}"


INGRESS_CLASS = Kind(
    "IngressClass", "ingressclasses", group="networking.k8s.io", namespaced=False, generation=True,
    default=_default_class, validate=_validate_class, validate_update=_class_update, update_first=True,
    columns=(
        NAME,
        Column("Controller", lambda o, now: (o.get("spec") or {}).get("controller", ""),
               description="Controller that is responsible for handling this class"),
        Column("Parameters", lambda o, now: _parameters_text(o),
               description="A reference to a resource with additional parameters"),
        AGE,
    ),
)


def Ingress(name: str, *, service: str | None = None, port: int = 80, host: str | None = None, path: str = "/",
            namespace: str | None = None) -> Obj:
    """Write the manifest of an ingress that leads `host` (any, when None) and `path` to a service."""
    backend = {"service": {"name": service or name, "port": {"number": port}}}
    rule: Obj = {"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}
    if host:
        rule = {"host": host} | rule
    about = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": about, "spec": {"rules": [rule]}}
