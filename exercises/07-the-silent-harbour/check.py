"""Do all members agree again, is every ship in the ledger, and was it seen who fell behind?"""

from __future__ import annotations

from collections.abc import Iterator

from kubelab.lab import Look, Requirement

SPACE, SHIPS, CRANES, BEHIND = "harbour", {"aurora", "borealis", "cassiopeia", "dolphin"}, 3, "m0"


def check(look: Look) -> Iterator[Requirement]:
    members = look.members
    if len(members) < 3:
        yield Requirement("The store has three members", False, "Start a cluster for this exercise: "
                          "cluster = Cluster(nodes=2, etcd=3), and then ex.start(cluster).")
        return
    silent = [member.name for member in members if member.state != "running"]
    leaders = {member.leader for member in members}
    agreed = not silent and len(leaders) == 1 and leaders != {""}
    yield Requirement("All members run, hear each other and follow one leader", agreed,
                      f"Not running: {', '.join(silent)}." if silent else
                      "They do not follow the same leader. Is the network whole? cluster.etcd.groups")
    running = {member.name for member in members if member.state == "running"}
    followed = [member.leader for member in members if member.name in running and member.leader in running]
    if max(map(followed.count, followed), default=0) < 2:
        return  # without a majority nothing can be asked of the API server
    yield Requirement("All know the same", len({member.revision for member in members}) == 1,
                      "Their revisions differ. Who was away needs a moment, and somebody to hear.")
    ledger = look.get("configmaps", "ledger", SPACE)
    missing = sorted(SHIPS - set((ledger or {}).get("data") or {}))
    yield Requirement("Every ship of the night is in the ledger", not missing, f"Not there: {', '.join(missing)}. "
                      "ex.start(cluster) begins the night anew.")
    crane = look.get("deployments", "crane", SPACE) or {}
    wanted, ready = (crane.get(part, {}).get(name, 0) for part, name in
                     (("spec", "replicas"), ("status", "readyReplicas")))
    yield Requirement("Three cranes work", wanted == ready == CRANES,
                      f"{wanted} are asked for, {ready} are ready. Is the harbour master's wish in the cluster yet?")
    named = ((ledger or {}).get("metadata", {}).get("annotations") or {}).get("harbour/fell-behind", "")
    yield Requirement("The annotation harbour/fell-behind names who ran and did not hear", named == BEHIND,
                      f"It was not {named}: who led in the evening, and was it cut off or dead?" if named else
                      "%kubectl annotate configmap ledger -n harbour harbour/fell-behind=NAME")
