"""The compactor: lets a shared etcd forget what is older than five minutes.

    every five minutes ─► whose turn is it? (compact_rev_key is as I left it) ─► compact to where etcd was the last time

Invariant: of several API servers one compacts, and never what is newer than five minutes.
Models:    k8s.io/apiserver/pkg/storage/etcd3/compact.go
"""

from __future__ import annotations

import logging

from kubelab.control_plane.etcd.api import Compacted, Compare, EtcdApi, EtcdError, Put, Range, RangeResult
from kubelab.machinery.clock import Clock

COMPACT_S = 300.0
COMPACT_KEY = b"compact_rev_key"
log = logging.getLogger("kubelab")


async def keep_compact(etcd: EtcdApi, clock: Clock) -> None:
    """Compact for ever; when etcd is away, the next time."""
    version = revision = 0
    while True:
        try:
            version, revision = await compact_once(etcd, version, revision)
        except EtcdError as error:
            log.info("etcd's history is not compacted now: %s", error)
        await clock.sleep(COMPACT_S)


async def compact_once(etcd: EtcdApi, version: int, revision: int) -> tuple[int, int]:
    """Compact to `revision` (0: nothing) if no other server has; return (the key's version, etcd's revision now)."""
    done = await etcd.txn((Compare(COMPACT_KEY, "version", "=", version),),
                          (Put(COMPACT_KEY, b"%d" % etcd.revision),), (Range(COMPACT_KEY),))
    if not done.succeeded:
        found = done.responses[0]
        assert isinstance(found, RangeResult)
        return found.kvs[0].version if found.kvs else 0, done.revision
    if revision:
        try:
            await etcd.compact(revision)
        except Compacted:
            log.debug("etcd had forgotten revision %d already", revision)
    return version + 1, done.revision
