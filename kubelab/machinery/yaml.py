"""YAML as kubectl reads it: YAML 1.1 with "yes" a boolean, but no dates and no base-60 numbers; keys must not repeat.

Models: sigs.k8s.io/yaml
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from kubelab.machinery.errors import CONVERTING, bad_request
from kubelab.machinery.request import Obj

MAX_NODES = 1_000_000
MAX_MERGED = 100_000  # pairs that `<<` may bring
MAX_DEPTH = 200
TOO_DEEP = f"exceeded max depth of {MAX_DEPTH}"

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BaseDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_INT = re.compile(r"[-+]?(?:0b[0-1_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
                    r"|\.(?:nan|NaN|NAN)")


class _Loader(_Base):  # type: ignore[misc]
    """The safe loader, with other ideas of what a plain scalar is."""

    def __init__(self, stream: str | bytes) -> None:
        super().__init__(stream)
        self.twins: list[str] = []  # keys that stood twice, each as Kubernetes' strict reader puts it

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way to say it
        first: [(tag, pattern) for tag, pattern in resolvers
                if not tag.endswith((":timestamp", ":int", ":float", ":value"))]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()}

    def flatten_mapping(self, node: Any) -> None:
        """Take in what `<<` names; count it as if nothing came twice, as Kubernetes' parser does."""
        named = [part for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"
                 for part in (value.value if isinstance(value, yaml.SequenceNode) else [value])]
        super().flatten_mapping(node)
        if named:
            node.merged = sum(getattr(part, "merged", len(part.value)) for part in named)
            if node.merged > MAX_MERGED:
                raise yaml.constructor.ConstructorError(None, None, "document contains excessive aliasing",
                                                        node.start_mark)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "invalid map key", key.start_mark)
            if key.value in seen:
                self.twins.append(f'line {value.start_mark.line + 1}: key "{key.value}" already set in map')
            seen.add(key.value)
        self.flatten_mapping(node)
        return {_key(self.construct_object(key, deep=deep)): self.construct_object(value, deep=deep)
                for key, value in node.value}


def _key(key: Any) -> str:
    """Write a key as JSON must have it: a string."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _construct_map(loader: Any, node: Any) -> Any:
    out: dict[Any, Any] = {}
    yield out
    out.update(loader.construct_mapping(node))


def _construct_int(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-").lower()
    if digits.startswith(("0b", "0x", "0o")):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if digits.startswith("0") and digits != "0" else 10)


def _construct_float(loader: Any, node: Any) -> float:
    text = loader.construct_scalar(node).replace("_", "").lower()
    if text.lstrip("+-") in (".inf", ".nan"):
        raise yaml.constructor.ConstructorError(None, None, f"{text} is no JSON number", node.start_mark)
    return float(text)


class _Dumper(_BaseDumper):  # type: ignore[misc]
    """The safe dumper, which quotes what either idea of a plain scalar would take for something else."""


for _reader in (_Loader, _Dumper):
    _reader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))
    _reader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"(?:{_INT.pattern})$"), list("-+0123456789"))
    _reader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"(?:{_FLOAT.pattern})$"),
                                  list("-+0123456789."))
_Loader.bool_values = {**_Base.bool_values, "y": True, "n": False}
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def load_values(text: str | bytes, twins: list[str] | None = None) -> list[Any]:
    """Return every document of a YAML or JSON stream that is not empty. Raises: BadRequest, naming the line.

    Of a key that stands twice the last counts, and `twins` is told; without `twins` this is an error.
    """
    loader = None
    try:
        loader = _Loader(str(text) if isinstance(text, str) else text)  # the C parser takes no subclass of str
        values = [value for value in _documents(loader) if value is not None]
        _check_size(values, [MAX_NODES], 0)
        if twins is None and loader.twins:
            raise ValueError(loader.twins[0])
        if twins is not None:
            twins += loader.twins
        return values
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in str(error.problem):  # PyYAML's words for what Kubernetes' parser says in its own
            raise bad_request(f"{CONVERTING}yaml: {TOO_DEEP}") from error
        raise bad_request(f"{CONVERTING}yaml: {_line_of(error)}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError, UnicodeDecodeError) as error:
        said = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise bad_request(f"{CONVERTING}yaml: {said}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _documents(loader: Any) -> Iterator[Any]:
    while loader.check_data():
        yield loader.get_data()


def _line_of(error: Any) -> str:
    """Say where, as Kubernetes' parser counts: where the surroundings begin, if that is known; no word of the first."""
    begun = isinstance(error, (yaml.scanner.ScannerError, yaml.constructor.ConstructorError))
    for mark in (error.context_mark, error.problem_mark):
        if mark is not None and mark.line:
            return f"line {mark.line + begun}: "
    return ""


def _check_size(value: Any, left: list[int], depth: int) -> None:
    """Refuse an anchor that holds itself, aliases that unfold without end, and nesting that no object needs."""
    left[0] -= 1
    if depth > MAX_DEPTH:
        raise ValueError(TOO_DEEP)
    if left[0] < 0:
        raise ValueError("document contains excessive aliasing")
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            _check_size(part, left, depth + 1)


def load_all(text: str | bytes) -> list[Obj]:
    """Return every object of a YAML or JSON stream; a List is opened into its items. Raises: BadRequest."""
    found: list[Obj] = []
    for value in load_values(text):
        if not isinstance(value, dict):
            said = "a list" if isinstance(value, list) else type(value).__name__
            raise bad_request(f"a document of the YAML is {said}, not an object with apiVersion and kind")
        if str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
            found += value["items"]
        else:
            found.append(value)
    return found


def dump(obj: Any) -> str:
    """Write an object as block YAML, keys in their order."""
    return yaml.dump(obj, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=1 << 20)
