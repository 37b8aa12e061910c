"""The history of a key: every version that is kept."""

from __future__ import annotations

from kubelab.facade.etcd import EtcdHandle


def test_history_has_every_version_with_what_changed(etcd: EtcdHandle) -> None:
    """Created, changed, deleted, created again: each at its revision, each with its difference."""
    etcd.put("/demo/other", "x")
    revisions = [etcd.put("/demo/web", {"replicas": n}) for n in (1, 2)]
    etcd.delete("/demo/web")
    revisions += [etcd.revision, etcd.put("/demo/web", {"replicas": 9})]
    found = etcd.history("/demo/web")
    assert found.revisions == revisions
    assert [step.what for step in found] == ["created", "changed", "deleted", "created"]
    assert found[1].diff == [("-", "replicas: 1"), ("+", "replicas: 2")]
    assert [step.value for step in found] == [{"replicas": 1}, {"replicas": 2}, None, {"replicas": 9}]


def test_history_of_a_deleted_key_ends_with_its_deletion(etcd: EtcdHandle) -> None:
    """What is gone can still be looked at."""
    etcd.put("/demo/web", "precious")
    etcd.delete("/demo/web")
    assert [step.what for step in etcd.history("/demo/web")] == ["created", "deleted"]


def test_history_begins_where_etcd_remembers(etcd: EtcdHandle) -> None:
    """After a compaction the first version is what was kept, and the foot says that there was more."""
    revisions = [etcd.put("/demo/web", str(n)) for n in range(6)]
    etcd.compact(revisions[3])
    found = etcd.history("/demo/web")
    assert [(step.what, step.value) for step in found] == [("kept", "3"), ("changed", "4"), ("changed", "5")]
    assert f"before revision {revisions[3]} has been compacted" in repr(found)
    etcd.compact(etcd.revision)
    assert [step.what for step in etcd.history("/demo/web")] == ["kept"]


def test_history_reads_well(etcd: EtcdHandle) -> None:
    """Text has signs, HTML escapes what came from the store."""
    etcd.put("/demo/web", "a")
    etcd.put("/demo/web", "<script>")
    found = etcd.history("/demo/web")
    assert repr(found).splitlines()[-3:] == [f"revision {etcd.revision}  changed  +1 −1", "    - a", "    + <script>"]
    assert found._repr_html_().count("<details open>") == 1, "what changed is unfolded, what was created is not"
    etcd.put("/demo/pod", {"spec": {"a": 1}})
    etcd.put("/demo/pod", {"spec": {"a": 1}, "status": {"phase": "Running"}})
    assert "<details open>" not in etcd.history("/demo/pod")._repr_html_(), "a status is no wish of anybody"
    assert "<script>" not in found._repr_html_() and "&lt;script&gt;" in found._repr_html_()
