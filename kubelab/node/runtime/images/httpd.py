"""httpd: Apache's image (`httpd-foreground`) and busybox's applet (`httpd -f -p 8080 -h /www`).

Models:    docker.io/library/httpd, busybox httpd
Left out:  configuration files, CGI
"""

from __future__ import annotations

import os
import signal
import sys

from kubelab.node.runtime.images import files
from kubelab.node.runtime.images.applets import options
from kubelab.node.runtime.images.http import Request, Response, server
from kubelab.node.runtime.images.loop import Server

TREES = {"/usr/local/apache2/htdocs": {"index.html": "<html><body><h1>It works!</h1></body></html>\n"}}
"""What Apache's image brings: folders, and the files in them."""


def foreground(argv: list[str]) -> int:
    """Run Apache's stand-in on port 80."""
    version = os.environ.get("HTTPD_VERSION", "2.4.65")
    name = f"Apache/{version} (Unix)"
    print(f"[mpm_event:notice] [pid {os.getpid()}] AH00489: {name} configured -- resuming normal operations",
          file=sys.stderr, flush=True)
    stops = (signal.SIGTERM, signal.SIGINT, signal.SIGWINCH)
    return _serve(80, "/usr/local/apache2/htdocs", name, stops, log=True)


def main(argv: list[str]) -> int:
    """Run busybox's `httpd [-f] [-v] [-p [IP:]PORT] [-h HOME]`."""
    try:
        flags, _ = options(argv, "fvi", "phcru")
    except ValueError as error:
        print(f"httpd: {error}\nUsage: httpd [-fv] [-p [IP:]PORT] [-h HOME]", file=sys.stderr)
        return 1
    port = flags.get("p", "80").rpartition(":")[2]
    stops = (signal.SIGTERM, signal.SIGINT)
    return _serve(int(port), flags.get("h", "."), "busybox httpd", stops, log="v" in flags)


def _serve(port: int, root: str, name: str, stops: tuple[signal.Signals, ...], *, log: bool) -> int:
    running = Server(stops)

    def handle(request: Request) -> Response:
        response = files.serve(root, request.path, request, name=name)
        if log:
            response.after = lambda: print(files.common(request, response), flush=True)
        return response

    try:
        running.listen(port, server(handle, name))
    except OSError as error:
        print(f"httpd: bind: {error.strerror}", file=sys.stderr)
        return 1
    return running.run()
