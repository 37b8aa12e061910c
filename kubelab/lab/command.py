"""`kubelab check 01`: an exercise checked from the command line, against any kubeconfig."""

from __future__ import annotations

from pathlib import Path

from kubelab.client import kubeconfig as files
from kubelab.client.background import BackgroundLoop
from kubelab.lab.exercise import exercise
from kubelab.lab.look import Look


def cli_check(name: str, kubeconfig: str | Path | None = None) -> int:
    """Print the result of a check; return the exit code: 0 when every requirement holds, else 1."""
    chosen = exercise(name)
    background = BackgroundLoop("kubelab-check")
    client = files.connect(Path(kubeconfig) if kubeconfig else None)
    try:
        result = chosen.check_with(Look(client, background.call))
    finally:
        background.call(client.close())
        background.stop()
    print(result)
    return 0 if result.ok else 1
