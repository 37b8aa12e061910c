"""Watches in a for loop."""

from __future__ import annotations

import threading

import pytest

from kubelab.control_plane.etcd.api import Unavailable
from kubelab.facade.etcd import EtcdHandle


def test_watch_tells_the_past_then_ends_after_silence(etcd: EtcdHandle) -> None:
    """From a revision on, in order, with what stood there before; the loop ends by itself."""
    first = etcd.put("/demo/a", "1")
    etcd.put("/elsewhere", "x")
    etcd.put("/demo/a", "2")
    etcd.delete("/demo/a")
    events = list(etcd.watch("/demo/", prefix=True, revision=first, timeout_s=0.05))
    told = [(e.type, e.value, e.before) for e in events]
    assert told == [("PUT", "1", None), ("PUT", "2", "1"), ("DELETE", None, "2")]
    assert repr(events[0]) == f"{first}  PUT    /demo/a"


def test_watch_hears_what_comes_and_stops(etcd: EtcdHandle) -> None:
    """`stop` ends the loop, and the store holds no watch afterwards."""
    with etcd.watch("/demo/a") as watch:
        threading.Timer(0.02, lambda: etcd.put("/demo/a", "now")).start()
        assert next(watch).value == "now"
        watch.stop()
        assert list(watch) == []
    etcd.put("/demo/a", "later")
    assert list(watch) == []
    assert watch._events.qsize() == 1, "only the mark of its end: the store tells it nothing more"


def test_a_watch_that_is_lost_says_why(etcd: EtcdHandle) -> None:
    """When the store cannot go on, the loop raises that, once, after what it was told before."""
    first = etcd.put("/demo/a", "1")
    watch = etcd.watch("/demo/a", revision=first, timeout_s=5)
    watch.lost(Unavailable())
    assert next(watch).value == "1"
    with pytest.raises(Unavailable):
        next(watch)
    assert list(watch) == []
