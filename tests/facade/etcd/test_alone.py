"""One store in the consensus view: what was written last, and what one member cannot do."""

from __future__ import annotations

import asyncio

import pytest

from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.facade.etcd import EtcdHandle
from kubelab.facade.etcd.alone import OneStore
from kubelab.machinery.clock import RealClock
from kubelab.views.consensus import picture


def test_the_log_of_one_store_is_what_was_written_last_also_after_a_restart() -> None:
    async def story() -> None:
        etcd = EmbeddedEtcd(None, RealClock())
        await etcd.start()
        store = OneStore(etcd)
        assert picture(store)["leader"] == "etcd"
        for i in range(20):
            await etcd.put(f"/registry/pods/default/web-{i}".encode(), b"{}")
        shown = picture(store)["members"][0]
        assert (shown["commit"], shown["log"][-1]) == (etcd.revision, [21, 0, "/registry/pods/default/web-19"])
        await store.kill(0)
        dead = picture(store)
        assert (dead["leader"], dead["members"][0]["state"]) == ("", "dead")
        await store.restart(0)
        assert picture(store)["leader"] == "etcd"
        written = (await etcd.put(b"/registry/pods/default/late", b"{}")).revision
        assert picture(store)["members"][0]["log"][-1] == [written, 0, "/registry/pods/default/late"]
        store.close()
        store.close()
        await etcd.stop()

    asyncio.run(story())


def test_one_member_cannot_be_cut_from_others() -> None:
    with pytest.raises(LookupError, match="nobody to talk to"):
        asyncio.run(OneStore(EmbeddedEtcd(None, RealClock())).partition([0], []))


def test_the_handle_has_one_view_which_ends_with_it(etcd: EtcdHandle) -> None:
    etcd.put("/demo/before", "1")
    view = etcd.view
    assert view is etcd.view
    assert view.picture["members"][0]["name"] == "etcd"
    etcd.close_view()
    etcd.close_view()
    assert view._loop is None and etcd.view is not view
    etcd.close_view()
