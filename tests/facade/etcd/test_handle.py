"""The store in a learner's hand: reading, writing, looking back, and what an error says to do next."""

from __future__ import annotations

import pytest

from kubelab.control_plane.etcd.api import Compacted, FutureRevision, LeaseNotFound, Unavailable
from kubelab.facade.etcd import EtcdHandle, NoSuchKey


def test_get_decodes_and_reads_any_revision(etcd: EtcdHandle) -> None:
    """JSON comes back as dicts, text as text, bytes as bytes; a revision shows it as it was."""
    first = etcd.put("/demo/web", {"kind": "Deployment", "spec": {"replicas": 3}})
    etcd.put("/demo/web", {"kind": "Deployment", "spec": {"replicas": 5}})
    etcd.put("/demo/text", "plain")
    etcd.put("/demo/bytes", b"\xff\x00")
    assert etcd.get("/demo/web").value["spec"]["replicas"] == 5
    assert etcd.get("/demo/web", revision=first).value["spec"]["replicas"] == 3
    found = etcd.get("/demo/", prefix=True)
    assert [(v.key, v.version) for v in found] == [("/demo/bytes", 1), ("/demo/text", 1), ("/demo/web", 2)]
    assert (found[0].value, found[1].value) == (b"\xff\x00", "plain")
    assert etcd.get("/demo/", prefix=True, revision=first).keys == ["/demo/web"]
    assert etcd.get("/demo/", prefix=True, limit=1).keys == ["/demo/bytes"]
    assert (found[2].create_revision, found[2].mod_revision) == (first, first + 1)


def test_transaction_reads_like_etcdctl(etcd: EtcdHandle) -> None:
    """The branch that ran answers, and everything in it has one revision."""
    won = etcd.txn(when='mod("/lock") = 0', then=["put /lock me", ("put", "/who", {"a": 1}), "get /lock"])
    assert won and won.answers[0] == "OK" and won.answers[2][0].value == "me"
    assert {v.mod_revision for v in etcd.get("/", prefix=True)} == {won.revision}
    lost = etcd.txn(when=['mod("/lock") = 0'], then=["put /lock you"], otherwise=["get /lock", "del / --prefix"])
    assert not lost and lost.answers[0][0].value == "me" and lost.answers[1] == 2


def test_diff_shows_what_changed_between_two_revisions(etcd: EtcdHandle) -> None:
    """Old and new lines with their signs, and the headings they stand under; a key that was not there is all new."""
    first = etcd.put("/demo/web", {"spec": {"replicas": 3, "paused": False}})
    second = etcd.put("/demo/web", {"spec": {"replicas": 5, "paused": False}})
    assert etcd.diff("/demo/web", first, second) == [
        (" ", "spec:"), (" ", "  paused: false"), ("-", "  replicas: 3"), ("+", "  replicas: 5")]
    assert etcd.diff("/demo/web", second) == []
    assert etcd.diff("/demo/web", first - 1, first).added == 3


def test_no_such_key_names_what_is_near(etcd: EtcdHandle) -> None:
    """A misspelt key is answered with those that are near, one from before its time with when it came."""
    etcd.put("/demo/other", "x")
    now = etcd.revision
    etcd.put("/demo/web", "x")
    with pytest.raises(NoSuchKey, match="near it: /demo/web"):
        etcd.get("/demo/wbe")
    with pytest.raises(NoSuchKey, match=f"not there at revision {now}: it was created at revision {now + 1}"):
        etcd.get("/demo/web", revision=now)
    with pytest.raises(NoSuchKey, match='get\\("/registry/", prefix=True\\)'):
        etcd.get("/nowhere/at/all")
    with pytest.raises(NoSuchKey):
        etcd.diff("/demo/wbe", 1)
    with pytest.raises(NoSuchKey):
        etcd.history("/demo/wbe")


def test_errors_say_what_to_do_next(etcd: EtcdHandle) -> None:
    """Compacted names the oldest revision that is left, future the newest, a stopped store how to start it."""
    for i in range(5):
        etcd.put("/demo/web", str(i))
    etcd.compact(4)
    with pytest.raises(Compacted, match=r"has been compacted.*Ask for revision=4 or later"):
        etcd.get("/demo/web", revision=2)
    assert (etcd.oldest, etcd.get("/demo/web", revision=etcd.oldest).mod_revision) == (4, 4)
    with pytest.raises(Compacted, match="Ask for revision=4"):
        etcd.watch("/demo/web", revision=2)
    with pytest.raises(FutureRevision, match=f"The newest there is: revision={etcd.revision}"):
        etcd.get("/demo/web", revision=99)
    with pytest.raises(LeaseNotFound, match=r"\.lease\(ttl_s\) makes a new one"):
        etcd.put("/demo/web", "x", lease=7)
    etcd.stop()
    with pytest.raises(Unavailable, match=r"The store is stopped; \.start\(\) starts it"):
        etcd.get("/demo/web")


def test_what_the_store_can_do_beyond_is_passed_on(etcd: EtcdHandle) -> None:
    """The seam's own calls run on the store's loop, blocking; figures come as they are."""
    etcd.put("/demo/web", "x")
    assert etcd.range(b"/demo/", b"/demo0").count == 1
    assert etcd.compact_revision == 0
    with pytest.raises(AttributeError):
        etcd.no_such_thing()


def test_one_member_tells_of_itself(etcd: EtcdHandle) -> None:
    """A store without consensus shows as one member."""
    assert [(m.role, m.healthy) for m in etcd.members] == [("alone", True)]
    assert "HEALTHY" in repr(etcd.members) and "<table>" in etcd.members._repr_html_()
    assert repr(etcd) == f"<etcd: running, revision {etcd.revision}>"
