"""Formats by name in CEL."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.cel import compiled
from kubelab.machinery.cel_formats import with_optionals

pytest.importorskip("cel_expr_python", reason="the optional package cel-expr-python has no wheel here")


@pytest.mark.parametrize(("expression", "value"), [
    ("format.dns1123Label().validate('a').hasValue()", False),
    ("format.dns1123Label().validate('a)').value().size()", 1),
    ("format.dns1123LabelPrefix().validate('a-').hasValue()", False),
    ("format.uuid().validate('x').orValue([])", ["does not match the UUID format"]),
    ("format.date().validate((('2020-01-01'))).hasValue()", False),
    ("format.named('uri').value().validate('https://a/b').hasValue()", False),
    ("format.named('nope').hasValue()", False),
])
def test_a_format_says_what_is_wrong(expression: str, value: Any) -> None:
    """What is right gives nothing, what is wrong its messages; a name that means nothing gives no format."""
    assert compiled(expression, ()).eval({}) == value


def test_only_calls_of_formats_give_optionals() -> None:
    """Strings and other calls stay as they are."""
    assert with_optionals("self.validate(1)") == "self.validate(1)"
    assert with_optionals("format.uuid().validate('a)' + f(x)) != '.validate('") == (
        "format.uuid().validate('a)' + f(x))[?0] != '.validate('")
