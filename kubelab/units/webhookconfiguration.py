"""ValidatingWebhookConfiguration and MutatingWebhookConfiguration: who is asked before a write is stored.

Models: pkg/registry/admissionregistration, pkg/apis/admissionregistration of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.admission_expressions import Expressions
from kubelab.units.admissionrules import (
    CATEGORIES,
    FAILURE_POLICIES,
    GROUP,
    MATCH_POLICIES,
    REINVOCATION_POLICIES,
    condition_errors,
    default_match,
    rule_errors,
)
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

SIDE_EFFECTS = ("None", "NoneOnDryRun")
REVIEW_VERSIONS = ("v1", "v1beta1")
FORM = "; desired format: https://host[/path]"
DEFAULTS = {"failurePolicy": "Fail", "timeoutSeconds": 10}


def _default(configuration: Obj, mutating: bool) -> None:
    for hook in configuration.get("webhooks") or ():
        default_match(hook)
        for key, value in DEFAULTS.items():
            hook.setdefault(key, value)
        if mutating:
            hook.setdefault("reinvocationPolicy", "Never")
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)


def _validate(configuration: Obj) -> Sequence[FieldError]:
    return list(_errors(configuration.get("webhooks") or ()))


def _errors(hooks: Sequence[Obj]) -> rules.Errors:
    seen: set[str] = set()
    for i, hook in enumerate(hooks):
        path, name = f"webhooks[{i}]", hook.get("name", "")
        yield from _hook_errors(path, hook)
        yield from _version_errors(f"{path}.admissionReviewVersions", hook.get("admissionReviewVersions") or [])
        if name and name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)


def _hook_errors(path: str, hook: Obj) -> rules.Errors:
    yield from _full_name(f"{path}.name", hook.get("name", ""))
    for i, rule in enumerate(hook.get("rules") or ()):
        yield from rule_errors(f"{path}.rules[{i}]", rule)
    yield from rules.known(f"{path}.failurePolicy", hook.get("failurePolicy"), FAILURE_POLICIES)
    yield from rules.known(f"{path}.matchPolicy", hook.get("matchPolicy"), MATCH_POLICIES)
    if hook.get("sideEffects") is None:
        yield required(f"{path}.sideEffects", f"must specify one of {', '.join(SIDE_EFFECTS)}")
    yield from rules.known(f"{path}.sideEffects", hook.get("sideEffects"), SIDE_EFFECTS)
    if not 1 <= hook.get("timeoutSeconds", 10) <= 30:
        yield invalid_value(f"{path}.timeoutSeconds", hook["timeoutSeconds"],
                            "the timeout value must be between 1 and 30 seconds")
    for key in ("namespaceSelector", "objectSelector"):
        yield from rules.label_selector(f"{path}.{key}", hook.get(key))
    yield from rules.known(f"{path}.reinvocationPolicy", hook.get("reinvocationPolicy"), REINVOCATION_POLICIES)
    yield from _client_errors(f"{path}.clientConfig", hook.get("clientConfig") or {})
    yield from condition_errors(f"{path}.matchConditions", hook.get("matchConditions") or (), Expressions())


def _full_name(path: str, name: str) -> rules.Errors:
    if not name:
        yield required(path)
        return
    errors = names.dns1123_subdomain_errors(name)
    if errors:
        yield invalid_value(path, name, ",".join(errors))
    elif name.count(".") < 2:
        yield invalid_value(path, name, "should be a domain with at least three segments separated by dots")


def _version_errors(path: str, versions: Sequence[str]) -> rules.Errors:
    if not versions:
        yield required(path, f"must specify one of {', '.join(REVIEW_VERSIONS)}")
        return
    for i, version in enumerate(versions):
        if version in versions[:i]:
            yield invalid_value(f"{path}[{i}]", version, "duplicate version")
        else:
            yield from rules.messages(f"{path}[{i}]", version, names.dns1035_label_errors)
    if not {*versions} & {*REVIEW_VERSIONS}:
        yield invalid_value(path, versions, f"must include at least one of {', '.join(REVIEW_VERSIONS)}")


def _client_errors(path: str, client: Obj) -> rules.Errors:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from url_errors(f"{path}.url", url)
    else:
        yield from service_errors(f"{path}.service", service or {})


def url_errors(path: str, url: str) -> rules.Errors:
    """What is wrong with the URL of a webhook."""
    try:
        if url.startswith(":"):
            raise ValueError(f'parse "{url}": missing protocol scheme')
        parts = urlsplit(url)
    except ValueError as error:
        yield required(path, f"url must be a valid URL: {error}{FORM}")
        return
    if parts.scheme != "https":
        yield invalid_value(path, parts.scheme, f"'https' is the only allowed URL scheme{FORM}")
    if not parts.netloc:
        yield invalid_value(path, "", f"host must be specified{FORM}")
    if "@" in parts.netloc:
        yield invalid_value(path, parts.netloc.partition("@")[0], "user information is not permitted in the URL")
    if parts.fragment:
        yield invalid_value(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid_value(path, parts.query, "query parameters are not permitted in the URL")


def service_errors(path: str, service: Obj, *, told: bool = True) -> rules.Errors:
    """What is wrong with the Service reference of a webhook; `told` says so in words where a part is missing."""
    for key in ("name", "namespace"):
        if not service.get(key):
            yield required(f"{path}.{key}", f"service {key} is required" if told else "")
    port, where = service.get("port", 443), service.get("path") or "/"
    if not 1 <= port <= 65535:
        yield invalid_value(f"{path}.port", port, f"port is not valid: {rules.PORT_RANGE}")
    if where == "/":
        return
    if where == "//":
        yield invalid_value(f"{path}.path", where, "segment[0] may not be empty")
        return
    if not where.startswith("/"):
        yield invalid_value(f"{path}.path", where, "must start with a '/'")
    for i, step in enumerate(where[1:].removesuffix("/").split("/")):
        if not step:
            yield invalid_value(f"{path}.path", where, f"segment[{i}] may not be empty")
        else:
            yield from (invalid_value(f"{path}.path", where, f"segment[{i}]: {message}")
                        for message in names.dns1123_subdomain_errors(step))


def _kind(name: str, mutating: bool) -> Kind:
    return Kind(
        name, f"{name.lower()}s", group=GROUP, namespaced=False, categories=CATEGORIES, generation=True,
        default=lambda o: _default(o, mutating), validate=_validate,
        columns=(
            NAME,
            Column("Webhooks", lambda o, now: len(o.get("webhooks") or ()), type="integer",
                   description="Webhooks indicates the number of webhooks registered in this configuration"),
            AGE,
        ),
    )


VALIDATING_WEBHOOK_CONFIGURATION = _kind("ValidatingWebhookConfiguration", mutating=False)
MUTATING_WEBHOOK_CONFIGURATION = _kind("MutatingWebhookConfiguration", mutating=True)
