"""Which shipped program a command name means. The shim loads them all once; containers that run one are mere forks.

Run as a script, `python programs.py NAME ARGUMENTS` is that program: so a shell inside a container finds them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

Program = Callable[[list[str]], int]

PROGRAMS: Mapping[str, str] = {
    "nginx": "nginx:main",
    "httpd-foreground": "httpd:foreground",
    "httpd": "httpd:main",
    "redis-server": "redis:main",
    "redis-cli": "redis:cli",
    "whoami": "whoami:main",
    "echo-server": "echo:echo",
    "http-echo": "echo:http_echo",
    "agnhost": "echo:agnhost",
    "bootcamp": "echo:bootcamp",
    "hello-app": "echo:hello_app",
    "pause": "echo:pause",
    "hostname": "applets:hostname",
    "wget": "applets:wget",
    "curl": "applets:curl",
    "nslookup": "applets:nslookup",
    "nc": "applets:nc",
}


def load(name: str) -> Program:
    """Import the program `name`."""
    module, _, function = PROGRAMS[name].partition(":")
    program: Program = getattr(importlib.import_module(f"kubelab.node.runtime.images.{module}"), function)
    return program


def load_all() -> dict[str, Program]:
    return {name: load(name) for name in PROGRAMS}


if __name__ == "__main__":
    sys.exit(load(sys.argv[1])(sys.argv[2:]))
