"""Types of CEL from OpenAPI schemas: which fields `self` or `object` has, and how large each can be.

    schema ─► Shape (type, fields, bounds) ─► protobuf messages of its own ─► an environment that checks types

cel-cpp knows types with fields as protobuf messages alone, so each object of a schema becomes one. Nothing is evaluated
here: values stay plain JSON (see cel.py); an expression is only compiled once more, to be told what is wrong with it.

Invariant: a field that no type can be told of is none: naming it is an error, as in Kubernetes.
Models:    k8s.io/apiserver/pkg/cel/common, SchemaDeclType, and apiextensions-apiserver/pkg/apiserver/schema/cel
Left out:  elements of lists within lists and of maps within maps, where they are fields; they are dyn
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kubelab.machinery.cel import MISSING, CelError, Program, compile_in, environment
from kubelab.machinery.request import Obj

MAX_REQUEST = 3 * 1024 * 1024
_KEYWORDS = frozenset(("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
                       "if", "import", "let", "loop", "package", "namespace", "return"))
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_NAME = re.compile(r"[a-zA-Z_.\-/][a-zA-Z_0-9.\-/]*")
# Strings that are more than text: (type, most characters, fewest bytes in JSON).
_FORMATS = {"duration": ("duration", 30, 4), "date": ("timestamp", 10, 12), "date-time": ("timestamp", 19, 21)}
_META: Obj = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}
_ROOT: Obj = {"kind": {"type": "string"}, "apiVersion": {"type": "string"}, "metadata": _META}
_DEPENDS = ("struct", "timestamp", "duration")
_PLAIN = {"int": "INT64", "bool": "BOOL", "double": "DOUBLE", "string": "STRING", "bytes": "BYTES"}
_KNOWN = {"dyn": "Value", "timestamp": "Timestamp", "duration": "Duration", "list": "ListValue", "map": "Struct"}
Find = Callable[[str], Obj]
"""$ref -> schema."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What CEL knows of a value: its type, at most how many elements it has, at least how many bytes it takes.

    What has no elements has `most` 0: upstream counts so, and what a rule may cost hangs on it.
    """

    type: str
    most: int = 0
    bytes: int = 1
    fields: Mapping[str, Shape] = field(default_factory=dict)
    element: Shape | None = None


DYN, KEY = Shape("dyn", MAX_REQUEST - 2), Shape("string", 0, 2)
_SCALARS = {"boolean": Shape("bool", 0, 4), "number": Shape("double"), "integer": Shape("int")}


_MIXED = re.compile(r"no matching overload for '_[<>]=?_' applied to '\((int|double), (int|double)\)'")
BOTH_WAYS = frozenset(("namespace",))  # words that were once CEL's own: fields of these names go by either


def loosened(shape: Shape) -> Shape:
    """Return the shape with numbers of any type, which are compared with each other as they come."""
    if shape.type in ("int", "double"):
        return Shape("dyn", 0, shape.bytes)
    element = loosened(shape.element) if shape.element is not None else None
    return replace(shape, fields={name: loosened(child) for name, child in shape.fields.items()}, element=element)


def escaped(name: str) -> str:
    """Return how an expression calls a field."""
    if name in _KEYWORDS:
        return f"__{name}__"
    for text, instead in _ESCAPES:
        name = name.replace(text, instead)
    return name


def shape_of(schema: Obj, *, resource: bool = False, find: Find | None = None) -> Shape | None:
    """Return the type of what a schema describes, or None; `resource`: what has a kind and a name of its own."""
    return _Reader(find).shape(schema, resource)


class _Reader:
    """Reads a schema; what refers to itself ends there."""

    def __init__(self, find: Find | None) -> None:
        self._find = find
        self._known: dict[str, Shape | None] = {}

    def shape(self, schema: Obj, resource: bool) -> Shape | None:
        parts = schema.get("allOf") or ()
        ref = schema.get("$ref") or next((part.get("$ref") for part in parts if len(part) == 1), None)
        if ref and self._find is not None:
            if ref not in self._known:
                self._known[ref] = None
                self._known[ref] = self.shape(self._find(ref), False)
            return self._known[ref]
        if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
            return DYN
        kind = schema.get("type") or ("object" if resource else "")
        if not kind and {"type": "string"} in (schema.get("oneOf") or ()):
            kind = "string"  # a quantity, which may be written as a number
        match kind:
            case "array":
                return self._list(schema)
            case "object":
                return self._map(schema) if isinstance(schema.get("additionalProperties"), dict) and not resource \
                    else self._object(schema, resource)
            case "string":
                return _string(schema)
        return _SCALARS.get(kind)

    def _below(self, schema: Obj) -> Shape | None:
        return self.shape(schema, bool(schema.get("x-kubernetes-embedded-resource")))

    def _list(self, schema: Obj) -> Shape | None:
        item = self._below(schema["items"]) if isinstance(schema.get("items"), dict) else None
        if item is None:
            return None
        most = schema.get("maxItems")
        return Shape("list", (MAX_REQUEST - 2) // (item.bytes + 1) if most is None else max(most, 0), 2, {}, item)

    def _map(self, schema: Obj) -> Shape | None:
        value = self._below(schema["additionalProperties"])
        if value is None:
            return None
        most = schema.get("maxProperties")
        return Shape("map", (MAX_REQUEST - 2) // (value.bytes + 6) if most is None else max(most, 0), 2, {}, value)

    def _object(self, schema: Obj, resource: bool) -> Shape:
        own: Obj = schema.get("properties") or {}
        if resource and not {*_ROOT} <= {name for name, child in own.items() if "$ref" in child or "allOf" in child
                                         or name != "metadata"}:
            own = own | _ROOT
        fields, least = {}, 2
        for name, child in own.items():
            found = self._below(child)
            if found is None or not _NAME.fullmatch(name):
                continue
            fields[escaped(name)] = found
            if name in BOTH_WAYS:
                fields[name] = found
            if name in (schema.get("required") or ()) and child.get("default") is None:
                least += len(name) + found.bytes + 4
        return Shape("object", 0, least, fields)


def _string(schema: Obj) -> Shape:
    format_, longest = schema.get("format") or "", schema.get("maxLength")
    if format_ in _FORMATS:
        return Shape(*_FORMATS[format_])
    if format_ == "byte":
        return Shape("bytes", MAX_REQUEST - 2 if longest is None else longest, 2)
    if longest is not None:
        return Shape("string", longest * 4, 2)
    choices = [len(choice.encode()) for choice in schema.get("enum") or () if isinstance(choice, str)]
    return Shape("string", max(choices) if choices else MAX_REQUEST - 2, 2)


# ── the same as messages ─────────────────────────────────────────────────────────────────────────────────────


class Typed:
    """An environment whose variables have the types of schemas, or those that CEL has a name for.

    Raises `CelError` where the packages that CEL needs are not installed.
    """

    _loose: Typed | None  # the same with numbers of any type

    def __init__(self, variables: Mapping[str, Shape | str]) -> None:
        self._variables, self._loose = variables, None
        try:
            messages = _Messages()
            named = {name: messages.type(of) for name, of in variables.items()}
            pool = messages.pool()
        except ImportError:
            raise CelError(MISSING) from None
        self._environment = environment(named, pool)

    def compile(self, expression: str) -> Program:
        """Return the expression with its type, not to be evaluated. Raises `CelError`."""
        try:
            return compile_in(self._environment, expression)
        except CelError as error:
            if not all(_MIXED.search(part) for part in re.split(r"\n(?=ERROR: )", str(error))):
                raise
        if self._loose is None:
            self._loose = Typed({name: of if isinstance(of, str) else loosened(of)
                                 for name, of in self._variables.items()})
        return compile_in(self._loose._environment, expression)


class _Messages:
    """Writes a protobuf file with a message for each object."""

    def __init__(self) -> None:
        from google.protobuf import descriptor_pb2

        self._pb = descriptor_pb2
        self._file = descriptor_pb2.FileDescriptorProto(
            name="types.proto", package="t", dependency=[f"google/protobuf/{name}.proto" for name in _DEPENDS])
        self._names: dict[int, str] = {}

    def pool(self) -> Any:
        from google.protobuf import descriptor_pool, duration_pb2, struct_pb2, timestamp_pb2

        pool = descriptor_pool.DescriptorPool()
        for module in (struct_pb2, timestamp_pb2, duration_pb2):
            pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        pool.Add(self._file)
        return pool

    def type(self, of: Shape | str) -> Any:
        """Return cel-cpp's type for a variable."""
        from cel_expr_python import cel

        if isinstance(of, str):
            return getattr(cel.Type, of.upper())
        if of.type == "object":
            return cel.Type(f"t.{self._message(of)}")
        if of.element is not None:
            inner = self.type(of.element)
            return cel.Type.List(inner) if of.type == "list" else cel.Type.Map(cel.Type.STRING, inner)
        return getattr(cel.Type, of.type.upper())

    def _message(self, shape: Shape) -> str:
        found = self._names.get(id(shape))
        if found is None:
            found = self._names[id(shape)] = f"T{len(self._names)}"
            message = self._pb.DescriptorProto(name=found)
            message.options.deprecated_legacy_json_field_conflicts = True  # our names need no JSON of their own
            for number, (name, child) in enumerate(shape.fields.items(), 1):
                self._field(message, f"t.{found}", name, number, child)
            self._file.message_type.append(message)
        return found

    def _field(self, message: Any, owner: str, name: str, number: int, shape: Shape) -> None:
        optional = self._pb.FieldDescriptorProto.LABEL_OPTIONAL
        into = message.field.add(name=name, number=number, label=optional)
        if shape.element is None:
            self._typed(into, shape)
            return
        into.label = self._pb.FieldDescriptorProto.LABEL_REPEATED
        if shape.type == "list":
            self._typed(into, shape.element)
            return
        called = _camel(name) + "Entry"  # what protobuf makes of `map<string, X> name`
        if any(entry.name == called for entry in message.nested_type):
            into.label = optional
            self._typed(into, shape)
            return
        entry = message.nested_type.add(name=called)
        entry.options.map_entry = True
        for at, (part, of) in enumerate((("key", KEY), ("value", shape.element)), 1):
            self._typed(entry.field.add(name=part, number=at, label=optional), of)
        into.type, into.type_name = self._pb.FieldDescriptorProto.TYPE_MESSAGE, f".{owner}.{called}"

    def _typed(self, into: Any, shape: Shape) -> None:
        if shape.type in _PLAIN:
            into.type = getattr(self._pb.FieldDescriptorProto, f"TYPE_{_PLAIN[shape.type]}")
            return
        into.type = self._pb.FieldDescriptorProto.TYPE_MESSAGE
        into.type_name = f".t.{self._message(shape)}" if shape.type == "object" else \
            f".google.protobuf.{_KNOWN[shape.type]}"


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
