"""CEL: the wrapper, and what Kubernetes adds to the language."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from kubelab.machinery.cel import CelError, compiled
from kubelab.machinery.cel_library import asked


def value(expression: str, **data: Any) -> Any:
    return compiled(expression, tuple(data)).eval(data)


@pytest.mark.parametrize("expression", [
    "object.spec.replicas > 1 && object.metadata.name.startsWith('w')",
    "has(object.spec) && !has(object.status)",
    "object.items.all(item, item.n > 0) && object.items.map(item, item.n) == [1, 2]",
    "object.?missing.orValue('x') == 'x'",
    "[3, 1].sum() == 4 && [1, 2].isSorted() && [1, 2].max() == 2 && [1, 2].min() == 1",
    "'abc123'.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2']",
    "quantity('1.5Gi').isGreaterThan(quantity('1Gi')) && quantity('1') == quantity('1000m')",
    "quantity('50k').add(quantity('20k')).sub(5).asInteger() == 69995 && !isQuantity('much')",
    "url('https://a.b:80/x?y=1').getHost() == 'a.b:80' && url('https://a.b/x?y=1').getQuery()['y'] == ['1']",
    "ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && !isIP('300.0.0.1')",
    "cidr('10.0.0.0/8').containsIP('10.1.1.1') && cidr('10.1.0.0/16').masked() == cidr('10.1.2.3/16').masked()",
    "jsonpatch.escapeKey('a/b~c') == 'a~1b~0c'",
    "semver('1.9.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1",
    "semver('1.0.0-alpha.1').isLessThan(semver('1.0.0-alpha.b')) && !isSemver('1.2')",
    "semver('v01.2', true).minor() == 2 && semver('1.2.3+b').patch() == 3",
    "lists.range(4).slice(1, 3) == [1, 2] && [[1], [2]].flatten() == [1, 2] && [1, 2].reverse() == [2, 1]",
    "[1, 2, 1].distinct() == [1, 2] && ['b', 'a'].sort() == ['a', 'b'] && [1, 2].first().value() == 1",
    "'abc'.substring(0, 3) == 'abc' && 'abc'.substring(1) == 'bc' && ' .indexOf(a)'.indexOf('.') == 1",
    "'tacocat'.indexOf('c', 3) == 4 && 'tacocat'.lastIndexOf('c', 3) == 2 && 'abc'.lastIndexOf('') == 3",
    "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(true) == -1",
    "'a,b'.split(',') == ['a', 'b'] && 'X'.lowerAscii() == 'x' && ['a', 'b'].join('-') == 'a-b'",
])
def test_what_holds(expression: str) -> None:
    """One line of the library each."""
    obj = {"metadata": {"name": "web"}, "spec": {"replicas": 2}, "items": [{"n": 1}, {"n": 2}]}
    assert value(expression, object=obj) is True


def test_values_come_out_as_plain_json() -> None:
    """Maps, lists, numbers and null."""
    assert value("{'a': [1, 2.5, {'b': true}], 'c': null}") == {"a": [1, 2.5, {"b": True}], "c": None}


@pytest.mark.parametrize(("expression", "text"), [
    ("nope", "undeclared reference to 'nope' (in container '')"),
    ("'a' + 1", "found no matching overload for '_+_' applied to '(string, int)'"),
    ("'a'.indexOf(2)", "found no matching overload for 'indexOf' applied to 'string.(int)'\n | 'a'.indexOf(2)"),
    ("object.x ==", "Syntax error: mismatched input '<EOF>'"),
])
def test_what_does_not_compile(expression: str, text: str) -> None:
    """The words are cel-go's, with the place."""
    with pytest.raises(CelError) as found:
        compiled(expression, ("object",))
    assert text in str(found.value) and str(found.value).startswith("ERROR: <input>:1:")


@pytest.mark.parametrize(("expression", "text"), [
    ("object.x.y", "no such key: x"), ("object.s + 1 == 2", "no such overload"), ("1 / 0 == 1", "division by zero"),
    ("lists.range(-1)", "lists.range: size must be non-negative, got -1"),
    ("[1].slice(0, 2)", r"cannot slice\(0, 2\), list is length 1"), ("'a'.substring(2)", "index out of range: 2"),
    ("object.l[3] == 1", "index out of bounds: 3"),
])
def test_what_comes_to_no_value(expression: str, text: str) -> None:
    """An error at run time says why."""
    with pytest.raises(CelError, match=text):
        value(expression, object={"s": "s", "l": [1]})


@pytest.mark.parametrize(("expression", "type_"), [
    ("1", "int"), ("object.x", "dyn"), ("object.x == 1", "bool"), ("['a']", "list(string)"),
    ("{'a': 1}", "map(string, int)")])
def test_types_are_known_beforehand(expression: str, type_: str) -> None:
    """As CEL names them."""
    assert compiled(expression, ("object",)).returns == type_


def test_without_the_package_expressions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is optional; who needs it learns what to install."""
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(CelError, match=r"pip install 'kubelab\[cel\]'"):
        compiled("1 == 1", ("unheard_of",))


def test_an_authorizer_asks() -> None:
    """What is gathered step by step comes to one question."""
    questions: list[Any] = []

    def answer(asks: Any, verb: str) -> bool:
        questions.append((asks["group"], asks["resource"], asks["namespace"], verb))
        return verb == "get"

    token = asked.set(answer)
    try:
        text = "authorizer.group('apps').resource('deployments').namespace('x').check('{}').allowed()"
        assert [value(text.format(verb), authorizer={"is": "one"}) for verb in ("get", "delete")] == [True, False]
    finally:
        asked.reset(token)
    assert questions == [("apps", "deployments", "x", "get"), ("apps", "deployments", "x", "delete")]
