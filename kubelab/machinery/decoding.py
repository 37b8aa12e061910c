"""From a request's body to an object the rest may trust: typed, pruned, in canonical form.

    value, what a strict reader said ─► check(node, obj) ─┬─ clean: the same object, untouched (the common case)
                                                          └─ else: a corrected copy, and what was wrong

Invariant: `check` never changes the object it is given; what it returns has known fields of the right types only.
Models:    sigs.k8s.io/json and the Go types behind it: nulls and zero values of optional fields vanish, quantities and
           times are written canonically, errors are worded as Go words them
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from kubelab.machinery import quantity
from kubelab.machinery.clock import micro_timestamp, parse_timestamp, timestamp
from kubelab.machinery.request import Obj
from kubelab.machinery.schema import Node
from kubelab.machinery.twins import told_in_order

# Go's zero values of optional fields are left out when an object is written, unless the field is a pointer.
# Numbers and booleans are mostly pointers, strings mostly are not; these are the others.
_ZERO_VANISHES = frozenset({
    "hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly", "paused", "unschedulable",
    "publishNotReadyAddresses", "hostPort", "minReadySeconds", "initialDelaySeconds", "timeoutSeconds",
    "periodSeconds", "successThreshold", "failureThreshold", "nodePort", "healthCheckNodePort", "observedGeneration",
    "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas", "fullyLabeledReplicas",
    "currentReplicas", "count", "generation", "signal", "preserveUnknownFields", "x-kubernetes-int-or-string",
    "x-kubernetes-embedded-resource",
})
_EMPTY_STAYS = frozenset({"storageClassName", "ingressClassName", "holderIdentity", "appProtocol", "preferredHolder",
                          "timeZone", "managedBy", "loadBalancerClass", "volumeAttributesClassName",
                          "labelSelectorPath", "deprecationWarning", "x-kubernetes-list-type", "x-kubernetes-map-type"})
_POINTERS = frozenset({("ClientIPConfig", "timeoutSeconds"), ("EndpointPort", "name"), ("HostPathVolumeSource", "type"),
                       ("Event", "reportingComponent"), ("Event", "reportingInstance"),
                       ("StatefulSetStatus", "availableReplicas")})
_NULL_STAYS = frozenset({("Event", "firstTimestamp"), ("Event", "lastTimestamp"), ("Event", "eventTime"),
                         ("Role", "rules"), ("ClusterRole", "rules"), ("PodSpec", "containers"),
                         ("EndpointSlice", "endpoints"), ("EndpointSlice", "ports")})  # written as null when empty
_NAMED_STRINGS = {
    ("Container", "imagePullPolicy"): "v1.PullPolicy", ("Container", "terminationMessagePolicy"):
    "v1.TerminationMessagePolicy", ("Container", "restartPolicy"): "v1.ContainerRestartPolicy",
    ("PodSpec", "restartPolicy"): "v1.RestartPolicy", ("PodSpec", "dnsPolicy"): "v1.DNSPolicy",
    ("PodSpec", "preemptionPolicy"): "v1.PreemptionPolicy", ("ContainerPort", "protocol"): "v1.Protocol",
    ("ServicePort", "protocol"): "v1.Protocol", ("EndpointPort", "protocol"): "v1.Protocol",
    ("ServiceSpec", "type"): "v1.ServiceType", ("ServiceSpec", "sessionAffinity"): "v1.ServiceAffinity",
    ("ServiceSpec", "externalTrafficPolicy"): "v1.ServiceExternalTrafficPolicy",
    ("ServiceSpec", "internalTrafficPolicy"): "v1.ServiceInternalTrafficPolicy",
    ("ServiceSpec", "ipFamilyPolicy"): "v1.IPFamilyPolicy", ("Taint", "effect"): "v1.TaintEffect",
    ("Toleration", "effect"): "v1.TaintEffect", ("Toleration", "operator"): "v1.TolerationOperator",
    ("DeploymentStrategy", "type"): "v1.DeploymentStrategyType", ("Secret", "type"): "v1.SecretType",
    ("PodStatus", "phase"): "v1.PodPhase", ("NamespaceStatus", "phase"): "v1.NamespacePhase",
    ("LabelSelectorRequirement", "operator"): "v1.LabelSelectorOperator", ("ObjectMeta", "uid"): "types.UID",
    ("OwnerReference", "uid"): "types.UID", ("HTTPGetAction", "scheme"): "v1.URIScheme",
    ("HTTPIngressPath", "pathType"): "v1.PathType", ("EndpointSlice", "addressType"): "v1.AddressType",
}
_PLAIN = {"string": str, "boolean": bool}
_STAMP = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ")
_MICRO = re.compile(_STAMP.pattern[:-1] + r"\.\d{6}Z")
_CONVERTIBLE = frozenset({("int64", "string"), ("float64", "int32"), ("float64", "int64")})  # to Go, not to JSON
_LIMITS = {"int32": 1 << 31, "int64": 1 << 63}


def zero_stays(struct: Node, name: str, child: Node) -> bool:
    """Return whether "", 0, false or an empty list or map in this field is written, and so distinct from no field."""
    if name in struct.required or (struct.struct, name) in _POINTERS:
        return True
    if child.kind == "string":
        return name in _EMPTY_STAYS
    return child.kind not in ("list", "map", "bytes") and name not in _ZERO_VANISHES


def is_clean(node: Node, value: Any) -> bool:
    """Return whether `value` is exactly as `check` would give it back."""
    try:
        test = node.clean
    except AttributeError:
        test = node.clean = _clean_test(node)
    return test(value)  # type: ignore[no-any-return]


def _clean_test(node: Node) -> Callable[[Any], bool]:
    """Compile the quick test of one type. (15 µs a pod; only what it refuses is walked the slow way.)"""
    match node.kind:
        case "struct":
            return _clean_struct(node)
        case "map":
            return _clean_map(node)
        case "list":
            return _clean_list(node)
        case "any":
            return lambda value: value is not None
        case "string" | "boolean" as plain:
            wanted = _PLAIN[plain]
            return lambda value: type(value) is wanted
        case "int32" | "int64" as integer:
            limit = _LIMITS[integer]
            return lambda value: type(value) is int and -limit <= value < limit
        case "quantity":
            return lambda value: type(value) is str and quantity.is_quantity(value) and quantity.kept(value) == value
        case "intorstring":
            return lambda value: type(value) is str or (type(value) is int and -(1 << 31) <= value < 1 << 31)
        case "time" | "microtime" as time:
            pattern = _STAMP if time == "time" else _MICRO
            return lambda value: type(value) is str and pattern.fullmatch(value) is not None
        case "bytes":
            return lambda value: type(value) is str and _base64_error(value) is None
        case _:
            return lambda value: type(value) in (int, float)


def _clean_struct(node: Node) -> Callable[[Any], bool]:
    plan: dict[str, tuple[type | None, bool, Node]] = {
        name: (_PLAIN.get(child.kind), zero_stays(node, name, child), child) for name, child in node.fields.items()}
    get = plan.get

    def clean(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for name, part in value.items():
            entry = get(name)
            if entry is None:
                return False
            plain, stays, child = entry
            if plain is None:
                if (not part and not stays) or not is_clean(child, part):
                    if part is None and (node.struct, name) in _NULL_STAYS:
                        continue
                    return False
            elif type(part) is not plain or not (part or stays):
                return False
        return True

    return clean


def _clean_map(node: Node) -> Callable[[Any], bool]:
    element = node.element
    plain = _PLAIN.get(element.kind)
    if element.kind == "quantity":
        return lambda value: type(value) is dict and all(
            is_clean(element, part) and quantity.listed(part) == part for part in value.values())
    if plain is None:
        return lambda value: type(value) is dict and all(is_clean(element, part) for part in value.values())
    return lambda value: type(value) is dict and all(type(part) is plain for part in value.values())


def _clean_list(node: Node) -> Callable[[Any], bool]:
    element = node.element
    plain = _PLAIN.get(element.kind)
    if plain is None:
        return lambda value: type(value) is list and all(is_clean(element, part) for part in value)
    return lambda value: type(value) is list and all(type(part) is plain for part in value)


@dataclass(frozen=True, slots=True)
class Checked:
    """`errors` refuse the request ("strict decoding error: ...", "json: cannot unmarshal ..."), `warnings` do not."""

    obj: Obj
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check(node: Node, obj: Obj, mode: str = "Strict", strict: Sequence[str] = (), *, text: Any = None,
          converted: bool = False) -> Checked:
    """Check an object against its schema.

    `mode` is Strict, Warn or Ignore: what becomes of unknown fields, and of what a `strict` reader said of the text;
    with the text, JSON's bytes, both are told in its order.
    An object that was `converted` from a map, not read from JSON, has its wrong types told in other words.
    """
    if not strict and is_clean(node, obj):
        return Checked(obj)
    walk = _Walk(conversion_error if converted else _decoding_error)
    out = walk.struct(node, obj, "", "")
    if walk.error:
        return Checked(out, (walk.error,))
    told = [*strict, *(sorted(walk.unknown) if converted else walk.unknown)]
    return judged(out, mode, told_in_order(text, told) if strict and walk.unknown and isinstance(text, bytes) else told)


def judged(obj: Obj, mode: str, strict: Sequence[str]) -> Checked:
    """Say what a strict reader found as `mode` wants it: an error, warnings, or nothing."""
    if not strict or mode == "Ignore":
        return Checked(obj)
    if mode == "Warn":
        return Checked(obj, (), tuple(line.strip() for told in strict for line in _lines(told)))
    return Checked(obj, ("strict decoding error: " + ", ".join(strict),))


def _lines(told: str) -> list[str]:
    """A YAML reader says all at once, under a headline."""
    head, *rest = told.split("\n")
    return rest or [head]


_GONE: Any = object()


class _Walk:
    """The slow way: build the corrected copy, gather unknown fields and the first type error."""

    def __init__(self, said: Callable[[Node, Any, str, tuple[str, str]], str]) -> None:
        self._said = said
        self.unknown: list[str] = []
        self.error = ""

    def struct(self, node: Node, value: dict[str, Any], path: str, go: str) -> dict[str, Any]:
        """`path` is spec.containers[0] as strict errors say it, `go` spec.containers as type errors do."""
        out: dict[str, Any] = {}
        for name, part in value.items():
            child = node.fields.get(name)
            if child is None:
                self.unknown.append(f'unknown field "{path}{name}"')
                continue
            if part is None:
                if (node.struct, name) in _NULL_STAYS:
                    out[name] = None
                continue
            go_path = f"{go}{name}"
            new = self.value(child, part, f"{path}{name}", go_path, (node.struct, name))
            if new is _GONE or (not new and type(new) is not dict and not zero_stays(node, name, child)):
                continue
            if new == {} and child.kind == "map" and not zero_stays(node, name, child):
                continue
            out[name] = new
        return out

    def value(self, node: Node, value: Any, path: str, go: str, field: tuple[str, str]) -> Any:
        if is_clean(node, value):
            return value
        match node.kind, value:
            case "struct", dict():
                return self.struct(node, value, f"{path}.", f"{go}.")
            case "map", dict():
                out = {k: new for k, v in value.items()
                       if (new := self.part(node.element, v, f"{path}.{k}", go, field)) is not _GONE}
                return out if node.element.kind != "quantity" else {k: quantity.listed(v) for k, v in out.items()}
            case "list", list():
                return [new for i, v in enumerate(value)
                        if (new := self.part(node.element, v, f"{path}[{i}]", go, field)) is not _GONE]
        if node.kind == "any":
            return value
        return self.scalar(node, value, go, field)

    def part(self, node: Node, value: Any, path: str, go: str, field: tuple[str, str]) -> Any:
        """Correct an element of a list or map, where null means the zero value."""
        return self.value(node, _zero(node) if value is None else value, path, go, field)

    def scalar(self, node: Node, value: Any, go: str, field: tuple[str, str]) -> Any:
        """Bring a scalar into canonical form, or note the type error."""
        try:
            match node.kind:
                case "quantity" if isinstance(value, (str, int, float)) and not isinstance(value, bool):
                    return quantity.kept(value.strip() if isinstance(value, str) else repr(value))
                case "quantity":
                    raise ValueError(quantity.FORMAT_ERROR)
                case "time" if isinstance(value, str):
                    return timestamp(parse_timestamp(value))
                case "microtime" if isinstance(value, str):
                    return micro_timestamp(parse_timestamp(value))
                case "bytes" if isinstance(value, str):
                    raise ValueError(_base64_error(value))
                case "intorstring":
                    raise ValueError(f"json: cannot unmarshal {_json_type(value)} into Go value of type int32")
        except ValueError as wrong:
            self.error = self.error or str(wrong)
            return _GONE
        self.error = self.error or self._said(node, value, go, field)
        return _GONE


def _go_type(node: Node, field: tuple[str, str]) -> str:
    return _NAMED_STRINGS.get(field, node.go_type) if node.kind == "string" else node.go_type


def _decoding_error(node: Node, value: Any, go: str, field: tuple[str, str]) -> str:
    """Say what Go's JSON decoder says of a value of the wrong type."""
    said = _json_type(value)
    if said == "number" and node.kind in _LIMITS:
        said = f"number {orjson.dumps(value).decode()}"
    return f"json: cannot unmarshal {said} into Go struct field {field[0]}.{go} of type {_go_type(node, field)}"


def conversion_error(node: Node, value: Any, go: str, field: tuple[str, str]) -> str:
    """Say what the converter of maps to Go's structs says, which is what a strategic merge patch meets."""
    kind = {bool: "bool", str: "string", int: "int64", float: "float64", list: "slice"}.get(type(value), "map")
    match node.kind:
        case "struct":
            return f"cannot restore struct from: {kind}"
        case "list" | "bytes":
            return f"cannot restore slice from {kind}"
        case "map":
            return f"cannot restore map from {kind}"
    target = {"boolean": "bool", "number": "float64"}.get(node.kind, node.kind)
    if (kind, target) in _CONVERTIBLE:
        return f"cannot convert {kind} to {_go_type(node, field)}"
    return f"unrecognized type: {target}"


def _zero(node: Node) -> Any:
    """Return what a null among list or map elements means."""
    return {"string": "", "boolean": False, "struct": {}, "map": {}, "list": []}.get(node.kind, 0)


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case None:
            return "null"
        case _:
            return "object"


_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def _base64_error(text: str) -> str | None:
    """Say where text stops being standard base64, as Go does."""
    if _BASE64.fullmatch(text):
        return None
    if "\n" in text or "\r" in text:
        try:
            base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
        except binascii.Error:
            pass  # the position is told below
        else:
            return None
    good = re.match(r"[A-Za-z0-9+/\r\n]*", text)
    return f"illegal base64 data at input byte {good.end() if good else 0}"
