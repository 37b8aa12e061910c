"""Print how much of the recorded answers ours agree with, after the tests."""

from __future__ import annotations

import pytest

from .replay import HEADER, TALLIES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not TALLIES:
        return
    terminalreporter.section("parity with Kubernetes 1.36")
    terminalreporter.line(HEADER)
    for tally in TALLIES.values():
        terminalreporter.line(tally.line())
    if terminalreporter.config.option.verbose > 0:
        for tally in TALLIES.values():
            for line in (*tally.wrong_status, *tally.wrong_body):
                terminalreporter.line(f"{tally.file}: {line}")
