"""The real etcdctl against our etcd: each command, what it prints and how it ends."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import Etcdctl, Served, etcdctl_for

pytestmark = pytest.mark.etcd


class Step(NamedTuple):
    """One command; `out` is a pattern for all that it prints, `err` one for a part of what it complains of."""

    words: str
    out: str = ""
    stdin: str = ""
    err: str = ""


KEYS = [
    Step("put /a/1 one", r"OK\n"),
    Step("put /a/2 two", r"OK\n"),
    Step("put /b/1 three", r"OK\n"),
    Step("put /a/1 eins --prev-kv", r"OK\n/a/1\none\n"),
    Step("get /a/1", r"/a/1\neins\n"),
    Step("get --prefix /a/ --rev 3", r"/a/1\none\n/a/2\ntwo\n"),
    Step("get --prefix /a/ --keys-only", r"/a/1\n\n/a/2\n\n"),
    Step("get --prefix / --limit 1 --sort-by MODIFY --order DESCEND", r"/a/1\neins\n"),
    Step("get --from-key /a/2 --print-value-only", r"two\nthree\n"),
    Step("get /a/1 --rev 99", err="required revision is a future revision"),
    Step("put /a/1 --ignore-value", r"OK\n"),
    Step("put /none --ignore-value", err="etcdserver: key not found"),
    Step("del /b/1 --prev-kv", r"1\n/b/1\nthree\n"),
    Step("del --prefix /b/", r"0\n"),
    Step("compact 5", r"compacted revision 5\n"),
    Step("compact 5", err="required revision has been compacted"),
    Step("compact 99", err="required revision is a future revision"),
    Step("get /a/1 --rev 3", err="required revision has been compacted"),
    Step("compact 6 --physical", r"compacted revision 6\n"),
    Step("txn -i", r"(?s).*SUCCESS\n\nOK\n\n/a/1\neins\n",
         stdin='mod("/a/2") > "1"\n\nput /t 1\nget /a/1\n\nput /f 1\n\n'),
    Step("txn -i", r"(?s).*FAILURE\n\n1\n", stdin='val("/a/2") = "x"\n\nput /t 2\n\ndel /t\n\n'),
    Step("txn -i", stdin='\nput /t 1\nput /t 2\n\n\n', err="duplicate key given in txn request"),
]
MAINTENANCE = [
    Step("member list -w table", r"(?s)\+.*\| STATUS  \|.*\| started \| default \|.*http://127.0.0.1.*\| +false \|.*"),
    Step("endpoint status -w table",
         r"(?s)\+.*ENDPOINT.*\| 127\.0\.0\.1:\d+ \|.*\| +3\.5\.\d+ \|.* true \| +false \|.*"),
    Step("endpoint health", err="is healthy: successfully committed proposal"),
    Step("endpoint hashkv", r"127\.0\.0\.1:\d+, \d+\n"),
    Step("defrag", r"Finished defragmenting etcd member\[.*\]\n"),
    Step("alarm list", r""),
    Step("alarm disarm", r""),
    Step("move-leader 1234", err="bad leader transferee"),
    Step("member add second --peer-urls http://127.0.0.1:1", err="runs alone, without consensus"),
    Step("member remove 1234", err="etcdserver: member not found"),
    Step("member promote 1234", err="etcdserver: member not found"),
    Step("user list", err="etcdserver: authentication is not enabled"),
    Step("auth disable", err="etcdserver: authentication is not enabled"),
]


@pytest.mark.parametrize("steps", [KEYS, MAINTENANCE], ids=["keys", "maintenance"])
async def test_a_table_of_commands(etcdctl: Etcdctl, steps: list[Step]) -> None:
    """Each command prints and ends as against a real etcd."""
    for step in steps:
        done = await etcdctl(*step.words.split(), stdin=step.stdin)
        if step.err:
            assert step.err in done.err, (step.words, done)
            if "healthy" not in step.err:
                assert done.code != 0, (step.words, done)
        else:
            assert re.fullmatch(step.out, done.out), (step.words, done)
            assert done.code == 0, (step.words, done)


async def test_leases(etcdctl: Etcdctl) -> None:
    """grant, keep-alive, timetolive with keys, list, revoke; a lease that is not there."""
    granted = await etcdctl("lease", "grant", "300")
    lease = re.fullmatch(r"lease (\w+) granted with TTL\(300s\)\n", granted.out)
    assert lease is not None
    name = lease[1]
    assert (await etcdctl("put", "/l", "1", f"--lease={name}")).out == "OK\n"
    assert (await etcdctl("lease", "keep-alive", "--once", name)).out == f"lease {name} keepalived with TTL(300)\n"
    left = await etcdctl("lease", "timetolive", "--keys", name)
    assert re.fullmatch(rf"lease {name} granted with TTL\(300s\), remaining\((299|300)s\), attached keys\(\[/l\]\)\n",
                        left.out)
    assert (await etcdctl("lease", "list")).out == f"found 1 leases\n{name}\n"
    assert (await etcdctl("lease", "revoke", name)).out == f"lease {name} revoked\n"
    assert (await etcdctl("get", "/l")).out == ""
    assert "requested lease not found" in (await etcdctl("lease", "revoke", name)).err
    assert (await etcdctl("lease", "timetolive", name)).out == f"lease {name} already expired\n"
    assert "requested lease not found" in (await etcdctl("put", "/l", "1", f"--lease={name}")).err


async def _until(process: asyncio.subprocess.Process, wanted: str) -> str:
    """Read what a program prints until it has printed this."""
    assert process.stdout is not None
    seen = ""
    while wanted not in seen:
        piece = await asyncio.wait_for(process.stdout.read(4096), 10)
        assert piece, f"it ended after {seen!r}"
        seen += piece.decode()
    return seen


async def _begin(served: Served, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "etcdctl", f"--endpoints={served.address}", *words, stdout=asyncio.subprocess.PIPE,
        env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})


async def test_watch_from_a_revision(served: Served, etcdctl: Etcdctl) -> None:
    """watch --rev prints the past, then what happens, with previous values; a compacted start is refused."""
    for value in ("1", "2"):
        await etcdctl("put", "/w/a", value)
    watcher = await _begin(served, "watch", "--prefix", "/w/", "--rev", "3", "--prev-kv")
    assert await _until(watcher, "2\n") == "PUT\n/w/a\n1\n/w/a\n2\n"
    await etcdctl("del", "/w/a")
    assert await _until(watcher, "DELETE") == "DELETE\n/w/a\n2\n/w/a\n\n"
    watcher.kill()
    await watcher.wait()
    await etcdctl("compact", "4")
    refused = await etcdctl("watch", "/w/a", "--rev", "2")
    assert "required revision has been compacted" in refused.err and refused.code != 0


async def test_lock_and_elect(served: Served, etcdctl: Etcdctl) -> None:
    """A second lock waits for the first to be let go; an election is won, seen, and won by the next."""
    holder = await _begin(served, "lock", "mutex")
    held = await _until(holder, "mutex/")
    other = await _begin(served, "lock", "mutex")
    holder.terminate()
    assert await _until(other, "mutex/") != held
    other.terminate()
    assert (await etcdctl("lock", "again", "echo", "inside")).out == "inside\n"
    leader = await _begin(served, "elect", "president", "ada")
    assert "ada" in await _until(leader, "ada")
    seen = await _begin(served, "elect", "-l", "president")
    assert "ada" in await _until(seen, "ada")
    for process in (leader, seen):
        process.terminate()
    for process in (holder, other, leader, seen):
        await process.wait()


async def test_snapshot_save(served: Served, etcdctl: Etcdctl, tmp_path: Path) -> None:
    """snapshot save takes the whole state, in pieces, and finds its checksum."""
    for i in range(40):
        await served.etcd.put(b"/s/%d" % i, b"v" * 5000)
    file = tmp_path / "state.db"
    assert (await etcdctl("snapshot", "save", str(file))).out == f"Snapshot saved at {file}\n"
    assert file.stat().st_size > 200_000


async def test_json_headers(etcdctl: Etcdctl) -> None:
    """An answer's header names cluster, member, term and the revision of the write."""
    first = json.loads((await etcdctl("put", "/j", "1", "-w", "json")).out)["header"]
    second = json.loads((await etcdctl("put", "/j", "2", "-w", "json")).out)["header"]
    assert second["revision"] == first["revision"] + 1
    assert first["cluster_id"] and first["member_id"] and first["raft_term"] == 1
    member = json.loads((await etcdctl("member", "list", "-w", "json")).out)["members"][0]
    assert member["ID"] == first["member_id"]


async def test_a_running_server_moves_nothing_by_itself(etcdctl: Etcdctl) -> None:
    """move-leader to the only member there is changes nothing, and says so."""
    member = json.loads((await etcdctl("member", "list", "-w", "json")).out)["members"][0]["ID"]
    done = await etcdctl("move-leader", f"{member:x}")
    assert "Leadership transferred" in done.out


def test_without_etcdctl_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Debian's etcd-client is missing, these tests skip and name the package."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(pytest.skip.Exception, match="etcd-client"):
        etcdctl_for()
