"""Lists and objects as people see them."""

from __future__ import annotations

from typing import Any

import yaml

from kubelab.views.table import ObjectList, ObjectView

TABLE = {"kind": "Table", "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Ready", "priority": 0},
                                                {"name": "Node", "priority": 1}],
         "rows": [{"cells": ["web-1", "1/1", "node-1"]}, {"cells": ["<b>", "0/1", None]}]}


def pods(*spaces: str) -> list[dict[str, Any]]:
    return [{"kind": "Pod", "metadata": {"name": name, "namespace": space}}
            for name, space in zip(("web-1", "<b>"), spaces, strict=True)]


def test_list_prints_like_kubectl() -> None:
    """Columns of priority 0, upper-case headers, three spaces between."""
    assert repr(ObjectList(pods("a", "a"), TABLE)) == "NAME    READY\nweb-1   1/1\n<b>     0/1"


def test_wide_shows_every_column() -> None:
    """`.wide` is kubectl's -o wide, and a missing cell reads <none>."""
    assert repr(ObjectList(pods("a", "a"), TABLE).wide).splitlines()[2] == "<b>     0/1     <none>"


def test_several_namespaces_are_named() -> None:
    """Objects of several namespaces get a NAMESPACE column in front."""
    assert repr(ObjectList(pods("a", "b"), TABLE)).startswith("NAMESPACE   NAME")


def test_html_escapes_cells() -> None:
    """A name is never markup."""
    assert "<b>" not in ObjectList(pods("a", "a"), TABLE)._repr_html_()
    assert "&lt;b&gt;" in ObjectList(pods("a", "a"), TABLE)._repr_html_()


def test_it_stays_a_list_of_dicts() -> None:
    """In code it is what it says: a list, with or without a table."""
    found = ObjectList(pods("a", "a"))
    assert found[0]["metadata"]["name"] == "web-1"
    assert found.names == ["web-1", "<b>"]
    assert "Pod" in repr(found)
    assert repr(ObjectList()) == "No resources found"


def test_object_shows_as_yaml_without_managed_fields() -> None:
    """One object reads as YAML; who set what is folded away, and the dict is untouched."""
    obj = ObjectView({"kind": "Pod", "metadata": {"name": "a", "managedFields": [{"manager": "kubelab"}]}})
    assert yaml.safe_load(repr(obj)) == {"kind": "Pod", "metadata": {"name": "a"}}
    assert "<details>" in obj._repr_html_()
    assert obj["metadata"]["managedFields"] == [{"manager": "kubelab"}]
