"""The real etcdctl against our etcd."""

from __future__ import annotations

import pytest

from .conftest import Etcdctl

pytestmark = pytest.mark.etcd


async def test_get_and_put(etcdctl: Etcdctl) -> None:
    """What etcdctl puts it gets again, also as it was before."""
    assert (await etcdctl("put", "/a/1", "one")).out == "OK\n"
    assert (await etcdctl("put", "/a/2", "two")).out == "OK\n"
    assert (await etcdctl("put", "/a/1", "eins", "--prev-kv")).out == "OK\n/a/1\none\n"
    assert (await etcdctl("get", "--prefix", "/a/")).out == "/a/1\neins\n/a/2\ntwo\n"
    assert (await etcdctl("get", "--prefix", "/a/", "--rev", "2")).out == "/a/1\none\n"
