"""Which shipped program a command name means. The shim imports this once; containers that run one are mere forks.

Run as a script, `python programs.py NAME ARGUMENTS` is that program: so a shell inside a container finds them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

from kubelab.node.runtime.images import applets, echo, httpd, nginx, redis, whoami

PROGRAMS: Mapping[str, Callable[[list[str]], int]] = {
    "nginx": nginx.main,
    "httpd-foreground": httpd.foreground,
    "httpd": httpd.main,
    "redis-server": redis.main,
    "redis-cli": redis.cli,
    "whoami": whoami.main,
    "echo-server": echo.echo,
    "http-echo": echo.http_echo,
    "agnhost": echo.agnhost,
    "bootcamp": echo.bootcamp,
    "hello-app": echo.hello_app,
    "pause": echo.pause,
    "hostname": applets.hostname,
    "wget": applets.wget,
    "curl": applets.curl,
    "nslookup": applets.nslookup,
    "nc": applets.nc,
}

if __name__ == "__main__":
    sys.exit(PROGRAMS[sys.argv[1]](sys.argv[2:]))
