"""Several ES modules in one text."""

from __future__ import annotations

import re

import pytest

from kubelab.views.esm import STATIC, esm


@pytest.mark.parametrize("name", [p.name for p in STATIC.glob("*_view.js")])
def test_the_joined_module_stands_alone(name: str) -> None:
    """Nothing is imported, every name is declared once, what the module itself offers is still offered."""
    text = esm(name)
    assert not re.search(r"^import ", text, re.MULTILINE)
    names = re.findall(r"^(?:export )?(?:async )?(?:const|function|class) ([A-Za-z_]\w*)", text, re.MULTILINE)
    assert len(names) == len(set(names)) > 20
    assert text.rstrip().endswith("export default { render };")


def test_dependencies_stand_first_and_once() -> None:
    """dom.js is needed by all others."""
    text = esm("cluster_view.js")
    assert text.count("export function h(") == 0 and text.count("\nfunction h(") == 1
    assert text.index("\nfunction h(") < text.index("\nclass Panel") < text.index("\nclass Stage")
