"""Whole scenarios of the dissertation, message by message."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.etcd.raft.scripts import GOLDEN, Script, all_scripts


@pytest.mark.parametrize("path", all_scripts(), ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    """The scenario runs exactly as written: each message, each entry stored and applied, in order."""
    assert Script().transcript(path.read_text()) == path.read_text()


def test_every_scenario_is_there() -> None:
    """Elections, repair, commitment, pre-vote, check quorum, transfer, members, snapshots and reads have one."""
    assert {path.stem for path in GOLDEN.iterdir()} >= {
        "election", "log_repair", "older_term", "older_term_committed", "leader_completeness", "pre_vote",
        "check_quorum", "transfer", "membership", "removed_leader", "snapshot", "read_index"}
