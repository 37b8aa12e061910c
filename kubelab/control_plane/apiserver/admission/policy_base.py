"""What validating and mutating admission policies share: bindings, parameters, variables.

    policy ─► matchConstraints ─► its bindings ─► matchResources ─► parameters ─► matchConditions ─► expressions

Invariant: a variable is computed when the first expression asks for it, once a request and parameter.
Models:    k8s.io/apiserver/pkg/admission/plugin/policy/generic
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kubelab.control_plane.apiserver.admission.dynamic import GROUP, Dynamic
from kubelab.control_plane.apiserver.admission.matching import any_rule_matches, conditions_hold, selectors_match
from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes
from kubelab.control_plane.apiserver.cache import Collection
from kubelab.machinery.cel import CelError, compiled
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import from_label_selector
from kubelab.units.admission_expressions import VARIABLES

CHECK_BUCKETS = (0.0000005, 0.001, 0.01, 0.1, 1.0)  # seconds an expression takes
_VARIABLE = re.compile(r"\bvariables\.(\w+)")
_NO_KEY = re.compile(r"no such key: (\w+)")
_NO_PARAMS = "no params found for policy binding with `Deny` parameterNotFoundAction"


@dataclass(slots=True)
class Evaluation:
    """One policy over one request: what its expressions see."""

    policy: Obj
    binding: Obj
    data: Obj
    _values: Obj = field(default_factory=dict)
    _failed: dict[str, str] = field(default_factory=dict)  # variables that came to no value, and why

    @property
    def names(self) -> tuple[str, str]:
        return self.policy["metadata"]["name"], self.binding["metadata"]["name"]

    @property
    def spec(self) -> Obj:
        spec: Obj = self.policy["spec"]
        return spec

    def value(self, expression: str) -> Any:
        """Return what an expression comes to. Raises `CelError`."""
        try:
            return self._evaluated(expression)
        except CelError as error:
            raise CelError(f"expression '{expression.strip()}' resulted in error: {error}") from None

    def _evaluated(self, expression: str) -> Any:
        self._compute(expression)
        try:
            return compiled(expression, VARIABLES).eval(self.data | {"variables": self._values})
        except CelError as error:
            missing = _NO_KEY.fullmatch(str(error))
            if missing is None or missing[1] not in self._failed:
                raise
            name = missing[1]
            raise CelError(f'composited variable "{name}" fails to evaluate: {self._failed[name]}') from None

    def _compute(self, expression: str) -> None:
        """Work out the variables that an expression names; one that fails is missed only where it is looked at."""
        defined = {variable["name"]: variable["expression"] for variable in self.spec.get("variables") or ()}
        for name in _VARIABLE.findall(expression):
            if name in defined and name not in self._values and name not in self._failed:
                self._failed[name] = "it asks for itself"
                try:
                    self._values[name] = self._evaluated(defined[name])
                    del self._failed[name]
                except CelError as error:
                    self._failed[name] = str(error)


class Policies(Dynamic):
    """A plugin whose rules are policies with bindings."""

    bindings = ""

    def evaluations(self, a: Attributes) -> Iterator[Evaluation | tuple[Obj, Obj, CelError]]:
        """Yield what is to be evaluated of a request, or (policy, binding, error) where that could not be found out."""
        for policy in self.objects(GROUP, self.plural):
            if not self._in(policy["spec"].get("matchConstraints") or NO_OBJ, a):
                continue
            for binding in self.objects(GROUP, self.bindings):
                spec = binding["spec"]
                if spec.get("policyName") == policy["metadata"]["name"] and self._in(
                        spec.get("matchResources") or NO_OBJ, a):
                    yield from self._bound(policy, binding, a)

    def _in(self, wanted: Obj, a: Attributes) -> bool:
        rules, equivalent = wanted.get("resourceRules"), wanted.get("matchPolicy") != "Exact"
        return (not rules or any_rule_matches(rules, a, equivalent=equivalent)) \
            and not any_rule_matches(wanted.get("excludeResourceRules") or (), a, equivalent=equivalent) \
            and selectors_match(wanted, a, self.namespace_of)

    def _bound(self, policy: Obj, binding: Obj, a: Attributes) -> Iterator[Evaluation | tuple[Obj, Obj, CelError]]:
        try:
            for params in self._params(policy["spec"], binding["spec"], a):
                with self.expressions(a) as data:
                    data["params"] = params
                    conditions = policy["spec"].get("matchConditions") or ()
                    if not conditions or conditions_hold(conditions, data | {"variables": None}, VARIABLES):
                        yield Evaluation(policy, binding, data)
        except CelError as error:
            yield policy, binding, error

    def _params(self, policy: Obj, binding: Obj, a: Attributes) -> list[Obj | None]:
        """Return every parameter object that a binding names; [None] where the policy takes none."""
        kind, ref = policy.get("paramKind"), binding.get("paramRef")
        if not kind or not ref:
            return [None]
        collection = self._collection(kind)
        namespace = (ref.get("namespace") or a.namespace) if collection.kind.namespaced else ""
        if ref.get("name"):
            body = collection.objects.get(f"{namespace}/{ref['name']}" if namespace else ref["name"])
            found: list[Obj | None] = [body.obj] if body is not None else []
        else:
            selector = from_label_selector(ref.get("selector") or {})
            found = [collection.objects[key].obj for key in collection.range(namespace)
                     if selector.matches(collection.objects[key].obj["metadata"].get("labels"))]
        if not found and ref.get("parameterNotFoundAction") != "Allow":
            raise CelError(f"failed to configure binding: {_NO_PARAMS}")
        return found

    def _collection(self, wanted: Obj) -> Collection:
        group = wanted.get("apiVersion", "").rpartition("/")[0]
        for (of_group, _), collection in self.storage.collections.items():
            if of_group == group and collection.kind.kind == wanted.get("kind"):
                return collection
        raise CelError(f"failed to configure policy: failed to find resource referenced by paramKind: "
                       f"'{wanted.get('apiVersion')}, Kind={wanted.get('kind')}'")
