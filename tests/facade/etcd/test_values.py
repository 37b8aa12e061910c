"""What the handle gives back, as people see it."""

from __future__ import annotations

from kubelab.facade.etcd import EtcdHandle
from kubelab.facade.etcd.values import SHOWN_ROWS, Version, Versions, decoded


def test_keys_show_as_a_table(etcd: EtcdHandle) -> None:
    """One row a key; objects fold out to YAML in a notebook, and nothing from the store is markup."""
    etcd.put("/demo/<b>", {"kind": "Pod", "metadata": {"name": "<i>"}})
    shown = etcd.get("/demo/", prefix=True)
    revision = etcd.revision
    assert repr(shown).splitlines()[1].split() == ["/demo/<b>", str(revision), str(revision), "1", "Pod", "·", "40",
                                                   "bytes"]
    page = shown._repr_html_()
    assert "<b>" not in page and "<i>" not in page and "<details>" in page and "name: &lt;i&gt;" in page
    assert repr(etcd.get("/none/", prefix=True)) == f"no key begins with '/none/' at revision {revision}"


def test_a_long_table_is_cut() -> None:
    """The list has all, its picture a screenful, and says so."""
    many = Versions([Version(f"/k/{i}", "x", 1, 1, 1) for i in range(SHOWN_ROWS + 5)], 9)
    assert f"the first {SHOWN_ROWS} shown" in repr(many) and len(many._repr_html_().split("<tr>")) == SHOWN_ROWS + 2


def test_one_key_shows_as_yaml(etcd: EtcdHandle) -> None:
    """A heading with the revisions, then the value."""
    etcd.put("/demo/web", {"kind": "Pod", "metadata": {"name": "web", "managedFields": [1]}})
    assert repr(etcd.get("/demo/web")).splitlines()[1:] == ["kind: Pod", "metadata:", "  name: web"]


def test_values_are_decoded_where_they_can_be() -> None:
    """JSON objects and lists, text, bytes; a number stays the text that it is."""
    assert decoded(b'{"a":1}') == {"a": 1} and decoded(b"[1]") == [1]
    assert decoded(b"7") == "7" and decoded(b"{oops") == "{oops" and decoded(b"\xff") == b"\xff"
