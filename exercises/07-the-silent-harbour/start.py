"""The night at the harbour: the leader is cut off, ships come in, and one of the two that heard of them dies."""

from __future__ import annotations

from typing import Any

SPACE = "harbour"
NIGHT = {"borealis": "7 barrels", "cassiopeia": "40 sacks", "dolphin": "3 horses"}
FELL_BEHIND, DEAD, LAST = 0, 1, 2


def start(cluster: Any) -> None:
    etcd = getattr(cluster, "etcd", None)
    if etcd is None or len(getattr(etcd, "members", ())) != 3:
        raise ValueError("this exercise needs a store of three members; start one: Cluster(nodes=2, etcd=3)")
    if etcd.leader != FELL_BEHIND:
        etcd.move_leader(FELL_BEHIND)
    cluster.wait("deployment/crane", "Available", namespace=SPACE)
    etcd.partition([FELL_BEHIND], [DEAD, LAST])
    for ship, load in NIGHT.items():
        cluster.patch("configmap/ledger", {"data": {ship: load}}, namespace=SPACE)
    etcd.kill(DEAD)
