"""History is forgotten after five minutes, by one server of several."""

from __future__ import annotations

from kubelab.control_plane.etcd.compactor import compact_once
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import SteppedClock


async def test_one_of_two_compacts_to_where_etcd_was_before() -> None:
    """The first to come compacts to the revision of its last turn; the other learns that it is not its turn."""
    etcd = EmbeddedEtcd(None, SteppedClock())
    await etcd.start()
    mine, theirs = await compact_once(etcd, 0, 0), await compact_once(etcd, 0, 0)
    assert mine[0] == theirs[0] == 1
    for i in range(10):
        await etcd.put(b"k", b"%d" % i)
    assert etcd.compact_revision == 0
    await compact_once(etcd, *mine)
    assert etcd.compact_revision == mine[1]
    late = await compact_once(etcd, *theirs)
    assert (late[0], etcd.compact_revision) == (2, mine[1])
    await compact_once(etcd, *late)
    assert etcd.compact_revision == late[1]
    await etcd.stop()
