"""etcd's refusals."""

from __future__ import annotations

from kubelab.control_plane.etcd.api import Compacted, StoreFailed, Unavailable
from kubelab.control_plane.etcd.errors import EtcdError, NoLeader, error_of


def test_an_error_survives_the_wire() -> None:
    """Its text alone makes the same exception again; an unknown one keeps its text and is retried if it may be."""
    assert type(error_of("OUT_OF_RANGE", Compacted(7).message)) is Compacted
    assert isinstance(error_of(NoLeader.code, NoLeader.message), NoLeader)
    assert isinstance(error_of("UNAVAILABLE", "connection refused"), Unavailable)
    assert str(error_of("INTERNAL", "odd")) == "odd (INTERNAL)"


def test_the_words_are_etcds() -> None:
    """An error reads as etcd's does, whatever it carries besides."""
    assert str(Compacted(7)) == "etcdserver: mvcc: required revision has been compacted"
    assert Compacted(7).compact_revision == 7
    assert isinstance(StoreFailed("disk"), EtcdError) and str(StoreFailed("disk")) == "disk"
