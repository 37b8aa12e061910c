"""The command line: a cluster in the foreground, the lab, and every component alone.

Models: kubeadm and minikube for `up`; the real binaries' flag names for the components
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kubelab.standalone import add_commands, etcd_arguments, etcd_endpoints

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="kubelab", description="Kubernetes that you can open.",
                                     epilog="example: kubelab up --nodes 3")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_add_up, _add_lab, _add_check, _add_bench, _add_doctor, _add_components):
        add(commands)
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        print(f"kubelab {options.command}: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 1


def _version() -> str:
    from kubelab import __version__

    return f"kubelab {__version__} (Kubernetes v1.36.2)"


def command(commands: Commands, name: str, run: Callable[[argparse.Namespace], int], help: str,
            example: str) -> argparse.ArgumentParser:
    """Add one command with its help and an example."""
    parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".",
                                 epilog=f"example: {example}", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(run=run)
    return parser


def until_signal() -> None:
    """Block the main thread until Ctrl-C or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()


# ── up ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_up(commands: Commands) -> None:
    up = command(commands, "up", _up, "run a cluster in the foreground until Ctrl-C or SIGTERM",
                 "kubelab up --nodes 3 --runtime process --data-dir ~/my-cluster")
    up.add_argument("--nodes", type=int, default=3, metavar="N", help="how many nodes (default 3)")
    up.add_argument("--runtime", choices=("process", "docker", "hollow"), default="process",
                    help="how containers run (default process)")
    up.add_argument("--port", type=int, default=0, metavar="P", help="the API server's port (default: a free one)")
    up.add_argument("--kubeconfig", type=Path, metavar="FILE", help="write the kubeconfig here")
    up.add_argument("--data-dir", type=Path, metavar="DIR", help="keep the state here; without it, in memory")
    up.add_argument("--etcd-listen", metavar="HOST:PORT", help="put the store on the wire, for etcdctl (port 0: any)")
    up.add_argument("--etcd-members", type=int, default=1, metavar="N", help="how many members the store has: 1, 3, 5")
    etcd_arguments(up)
    up.add_argument("--apiservers", type=int, default=1, metavar="N", help="how many API servers (default 1)")
    up.add_argument("--disable", default="", metavar="COMPONENT,...", help="leave these out, e.g. scheduler,dns")
    up.add_argument("--quiet", action="store_true", help="print the ready line and nothing else")


def _up(options: argparse.Namespace) -> int:
    import logging

    from kubelab.cluster import Cluster

    logging.basicConfig(level=logging.ERROR if options.quiet else logging.WARNING, format="%(levelname)s %(message)s")
    if options.nodes < 0:
        raise ValueError("--nodes: the number of nodes must not be negative")
    if options.etcd_servers and options.etcd_members > 1:
        raise ValueError("--etcd-members runs a store here, --etcd-endpoints uses one elsewhere: leave one of them out")
    disable = [name for name in options.disable.split(",") if name]
    cluster = Cluster(options.nodes, runtime=options.runtime, port=options.port, data_dir=options.data_dir,
                      kubeconfig=options.kubeconfig, disable=disable, quiet=options.quiet,
                      etcd_listen=options.etcd_listen, etcd=etcd_endpoints(options) or options.etcd_members,
                      apiservers=options.apiservers)
    print(f"ready in {cluster.start_seconds:.2f} s   {cluster.url}   export KUBECONFIG={cluster.kubeconfig}",
          flush=True)
    if options.etcd_listen:
        print(f"etcd at {cluster.etcd.endpoint}   {cluster.etcd.etcdctl}", flush=True)
    until_signal()
    cluster.stop()
    return 0


# ── lab, check, bench, doctor ───────────────────────────────────────────────────────────────────────────────


def _add_lab(commands: Commands) -> None:
    lab = command(commands, "lab", _lab, "open JupyterLab on the first notebook", "kubelab lab --no-browser")
    lab.add_argument("--no-browser", action="store_true", help="print the URL instead of opening a browser")
    lab.add_argument("--port", type=int, default=8888, help="JupyterLab's port (default 8888, or the next free one)")
    lab.add_argument("--dir", type=Path, default=None, help="the folder with notebooks/ (default: found from here)")


def _lab(options: argparse.Namespace) -> int:
    home = options.dir or next((p for p in (Path.cwd(), Path(__file__).resolve().parents[1])
                                if (p / "notebooks").is_dir()), Path.cwd())
    first = sorted((home / "notebooks").glob("00*.ipynb"))
    target = f"/lab/tree/notebooks/{first[0].name}" if first else "/lab"
    words = ["jupyter-lab", f"--ServerApp.root_dir={home}", f"--LabApp.default_url={target}", f"--port={options.port}",
             "--ServerApp.ip=127.0.0.1",
             # views keep what they have seen while they are scrolled out of sight, and nobody is asked about news
             f"--LabApp.app_settings_dir={Path(__file__).with_name('lab') / 'jupyter'}"]
    if options.no_browser:
        words.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        words.append("--allow-root")
    program = Path(sys.executable).with_name("jupyter-lab")
    if not program.exists():
        raise RuntimeError("JupyterLab is not installed here; run ./lab, or: pip install 'kubelab[lab]'")
    os.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.execv(str(program), words)


def _add_check(commands: Commands) -> None:
    check = command(commands, "check", _check, "check an exercise against a cluster",
                    "kubelab check 01 --kubeconfig ~/.kube/config")
    check.add_argument("exercise", help="its number or name")
    check.add_argument("--kubeconfig", type=Path, help="default: $KUBECONFIG, then ~/.kube/config")


def _check(options: argparse.Namespace) -> int:
    from kubelab.lab import cli_check

    return cli_check(options.exercise, options.kubeconfig)


def _add_bench(commands: Commands) -> None:
    bench = command(commands, "bench", _bench, "measure this cluster beside the figures of a real control plane",
                    "kubelab bench etcd")
    bench.add_argument("parts", nargs="*", metavar="PART",
                       help="start, inside, api, watch, servers, pods, large, etcd (default: all)")
    bench.add_argument("--only", default="", metavar="PART,...", help="the same, as one word")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def _bench(options: argparse.Namespace) -> int:
    from kubelab.bench import run

    return run([*options.parts, *(part for part in options.only.split(",") if part)], options.json)


def _add_doctor(commands: Commands) -> None:
    command(commands, "doctor", _doctor, "say what this machine offers and what that changes", "kubelab doctor")


def _doctor(options: argparse.Namespace) -> int:
    from kubelab.doctor import examine, show

    print(show(examine()))
    return 0


# ── components alone ────────────────────────────────────────────────────────────────────────────────────────


def _add_components(commands: Commands) -> None:
    add_commands(commands, command)
