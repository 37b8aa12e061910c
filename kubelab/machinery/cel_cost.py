"""What an expression may cost at most, before anything is evaluated: a bound on the work for the largest object.

    tree + shapes of its variables ─► cost of each part, size of each value ─► units: one is about 50 ns

Invariant: an estimate is an upper bound; what cannot be bounded is UNBOUNDED, and stays so in every sum and product.
Models:    cel-go's checker/cost.go and k8s.io/apiserver/pkg/cel/library/cost.go, their upper bounds;
           the text of a number is bounded here, there it is not
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil

from kubelab.machinery.cel_ast import Node
from kubelab.machinery.cel_types import KEY, Shape

UNBOUNDED = 2**64 - 1
TRAVERSAL, REGEX = Fraction(1, 10), Fraction(1, 4)  # units a character
CHECK, LIST, MAP, MESSAGE = 350_000, 10, 30, 40
ADDRESS_BYTES, SCALAR_TEXT = 16, 32  # bytes of an address; characters of a number or a time
_SCALARS = ("bool", "double", "duration", "int", "timestamp", "type", "uint")
_SMALL = frozenset(("quantity", "ip", "cidr", "semver", "url"))  # make what is compared in one step
_NOMINAL = frozenset((
    "serviceAccount", "path", "group", "resource", "subresource", "namespace", "name", "allowed", "reason", "error",
    "errored", "masked", "prefixLength", "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast",
    "isLinkLocalUnicast"))
_LISTED = frozenset(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"))
_MADE = frozenset(("slice", "flatten", "distinct", "sort", "reverse"))
_SAME_SIZE = frozenset(("lowerAscii", "upperAscii", "substring", "trim"))
_COMPARED = frozenset(("equals", "not_equals", *(f"{how}_{what}" for what in ("string", "bytes") for how in (
    "less", "greater", "less_equals", "greater_equals"))))
_PREFIXED = ("starts_with_string", "ends_with_string")


def _sum(*numbers: int) -> int:
    return min(sum(numbers), UNBOUNDED)


def _times(number: int, factor: int | Fraction) -> int:
    return min(ceil(number * factor), UNBOUNDED)


def estimate(node: Node, variables: Mapping[str, Shape]) -> int:
    """Return the most that an expression can cost."""
    return _Coster(variables).cost(node)


class _Coster:
    """Walks a tree once. `_shapes` is where in a schema a value comes from, `_sizes` what was worked out."""

    def __init__(self, variables: Mapping[str, Shape]) -> None:
        self._variables = variables
        self._locals: dict[str, list[tuple[Shape | None, int | None]]] = {}
        self._shapes: dict[int, Shape | None] = {}
        self._sizes: dict[int, int] = {}

    def cost(self, node: Node) -> int:
        match node.kind:
            case "name":
                local = self._locals.get(node.name)
                self._shapes[id(node)], size = local[-1] if local else (self._variables.get(node.name), None)
                if size is not None:
                    self._sizes[id(node)] = size
                return 1
            case "has":
                return self.cost(node.parts[0])
            case "select":
                return self._select(node)
            case "call":
                return self._call(node)
            case "list":
                return _sum(LIST, *map(self.cost, node.parts))
            case "map" | "message":
                return _sum(MAP if node.kind == "map" else MESSAGE, *map(self.cost, node.parts))
            case "loop":
                return self._loop(node)
        return 0

    def _select(self, node: Node) -> int:
        of = node.parts[0]
        cost = self.cost(of)
        shape = self._shapes.get(id(of))
        self._shapes[id(node)] = shape.fields.get(node.name) if shape is not None else None
        return _sum(cost, 1) if of.type in ("map", "message") else cost

    def _loop(self, node: Node) -> int:
        over, start, condition, step, result = node.parts
        cost = _sum(self.cost(over), self.cost(start))
        shape, binds = self._shapes.get(id(over)), over.size == 0 and condition.kind == "constant"
        item = shape.element if shape is not None and shape.type == "list" else KEY if shape is not None else None
        self._locals.setdefault(node.name, []).append((item, None))
        self._locals.setdefault(node.held, []).append((self._shapes.get(id(start)), self._known(start)))
        turn = _sum(self.cost(condition), self.cost(step))
        self._locals[node.name].pop()
        cost = _sum(cost, self.cost(result), _times(0 if binds else self._size(over), turn))
        self._locals[node.held].pop()
        if binds:
            self._shapes[id(node)] = self._shapes.get(id(result))
        self._sizes[id(node)] = self._size(result if binds else start if start.kind == "constant" else over)
        return cost

    def _known(self, node: Node) -> int | None:
        return node.size if node.kind in ("constant", "list", "map") else self._sizes.get(id(node))

    def _size(self, node: Node) -> int:
        known = self._known(node)
        if known is not None:
            return known
        shape = self._shapes.get(id(node))
        if shape is not None:
            return shape.most
        return 1 if node.type in _SCALARS else UNBOUNDED

    def _call(self, node: Node) -> int:
        costs = [self.cost(part) for part in node.parts]
        if not node.overloads:
            return 0
        if any(one in ("index_list", "index_map") for one in node.overloads):
            shape = self._shapes.get(id(node.parts[0]))
            self._shapes[id(node)] = shape.element if shape is not None else None
        if "conditional" in node.overloads:
            self._sizes[id(node)] = max(map(self._size, node.parts[1:]))
            return _sum(costs[0], max(costs[1:]))
        if node.name in ("_&&_", "_||_"):
            return _sum(*costs)
        own = self._library(node)
        return _sum(max(self._standard(node, one) for one in node.overloads) if own is None else own, *costs)

    def _library(self, node: Node) -> int | None:
        """Return the cost of what Kubernetes adds to CEL, its own way, or None."""
        name, parts = node.name, node.parts
        sizes = [self._size(part) for part in parts]
        if name == "check":
            return CHECK
        if name in _NOMINAL and node.member:
            return 1
        if name in _LISTED and node.member:
            shape = self._shapes.get(id(parts[0]))
            if parts[0].type == "string":
                return _times(sizes[0], TRAVERSAL)
            text = shape is not None and shape.element is not None and shape.element.type in ("string", "bytes")
            return _times(sizes[0], 1 + (_times(shape.element.most, TRAVERSAL) if shape and shape.element and text
                                         else 0))
        if name == "url" or (name in ("cidr", "isIP", "isCIDR", "ip") and node.member):
            return _times(sizes[0], TRAVERSAL)
        if name in _SAME_SIZE and node.member:
            self._sizes[id(node)] = sizes[0]
            return _times(sizes[0], TRAVERSAL)
        if name in ("replace", "split", "join", "find", "findAll") and node.member:
            return self._strings(node, sizes)
        if name == "lists.range" or (name in _MADE and node.member and parts[0].type != "string"):
            return self._made(node, sizes[0])
        if name.startswith("sets."):
            return _times(sizes[0], sizes[1] * (2 if name == "sets.equivalent" else 1))
        if name in ("containsIP", "containsCIDR"):
            masked = _times(ADDRESS_BYTES, TRAVERSAL) + 1 if name == "containsCIDR" else 0
            return _times(2 * ADDRESS_BYTES, TRAVERSAL) + masked
        return None

    def _made(self, node: Node, size: int) -> int:
        """Return the cost of a list that is made of another, or of a number."""
        numbers = [part.number for part in node.parts]
        match node.name:
            case "lists.range":
                size = UNBOUNDED if numbers[0] is None else numbers[0]
            case "slice":
                size = max((size if numbers[2] is None else numbers[2]) - (numbers[1] or 0), 0)
            case "distinct" | "sort":
                size = _times(size, size)
        shape = self._shapes.get(id(node.parts[0]))
        text = shape is not None and shape.element is not None and shape.element.type in ("string", "bytes")
        factor = (2 + (TRAVERSAL if text else 0) if node.name in ("distinct", "sort") else
                  1 if node.name != "flatten" or len(numbers) == 1 else UNBOUNDED if numbers[1] is None else numbers[1])
        self._sizes[id(node)] = size
        return _sum(_times(size, factor), LIST, 1)

    def _strings(self, node: Node, sizes: list[int]) -> int:
        size, parts = sizes[0], node.parts
        match node.name:
            case "replace":
                shortest = sizes[1] if parts[1].kind == "constant" else 0
                many = size + 1 if not shortest else 0 if sizes[2] <= shortest else ceil(Fraction(size, shortest))
                kept = 0 if shortest and many else size
                self._sizes[id(node)] = _sum(_times(sizes[2], many), kept)
                return _times(size, 2 * TRAVERSAL)
            case "split":
                self._sizes[id(node)] = size
                return _times(size, 2 * TRAVERSAL)
            case "join":
                shape = self._shapes.get(id(parts[0]))
                each = shape.element.most if shape is not None and shape.element is not None else 0
                between = _times(sizes[1], max(size - 1, 0)) if len(parts) > 1 else 0
                self._sizes[id(node)] = joined = _sum(_times(size, each), between)
                return _times(joined, TRAVERSAL)
        self._sizes[id(node)] = size
        return _times(_times(size + 1, TRAVERSAL), _times(sizes[1], REGEX))

    def _standard(self, node: Node, overload: str) -> int:
        sizes = [self._size(part) for part in node.parts]
        if overload in _PREFIXED:
            return _times(sizes[-1], TRAVERSAL)
        if overload == "in_list":
            return sizes[1]
        if overload == "matches_string" or node.name == "matches":
            return _times(_times(_sum(sizes[0], 1), TRAVERSAL), _times(sizes[1], REGEX))
        if overload == "contains_string":
            return _times(_times(sizes[0], TRAVERSAL), _times(sizes[1], TRAVERSAL))
        if overload in ("add_string", "add_bytes", "add_list"):
            self._sizes[id(node)] = joined = _sum(*sizes)
            return 1 if overload == "add_list" else _times(joined, TRAVERSAL)
        if overload in ("string_to_bytes", "bytes_to_string"):
            self._sizes[id(node)] = _times(sizes[0], 4) if overload == "string_to_bytes" else sizes[0]
            return _times(sizes[0], TRAVERSAL)
        if node.name == "string" and node.parts[0].type in _SCALARS:
            self._sizes[id(node)] = SCALAR_TEXT
        if overload in _COMPARED and all(part.kind == "call" and part.name in _SMALL for part in node.parts):
            return 1
        if overload in _COMPARED:
            return _times(min(sizes), TRAVERSAL)
        return 1
