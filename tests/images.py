"""Images for the Docker tests, made offline from a static busybox: no registry is asked."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

WEB = """#!/bin/sh
trap 'exit 0' TERM QUIT
mkdir -p /www
echo "hello from $(hostname)" > /www/index.html
busybox httpd -f -p 80 -h /www &
wait $!
"""
APPLETS = ("sh", "cat", "date", "echo", "env", "false", "grep", "hostname", "httpd", "id", "ip", "kill", "ls", "mkdir",
           "nc", "nslookup", "printf", "ps", "pwd", "rm", "seq", "sleep", "tar", "tee", "test", "touch", "true", "wget")


def build(client: Any) -> None:
    """Make busybox:1.36, nginx:1.28, nginx:1.29 and nginx:latest (a busybox httpd that says its host name)."""
    for tag, version in (("busybox:1.36", ""), ("nginx:1.28", "1.28"), ("nginx:1.29", "1.29"), ("nginx:latest", "")):
        if any(tag in image.tags for image in client.images.list()):
            continue
        repository, _, name = tag.partition(":")
        changes = ["ENV PATH=/bin", f"ENV WEB_VERSION={version}",
                   'CMD ["/bin/web"]' if repository == "nginx" else 'CMD ["/bin/sh"]']
        client.api.import_image_from_data(_root(), repository=repository, tag=name, changes=changes)


def _root() -> bytes:
    busybox = next(p for p in (Path("/bin/busybox"), Path("/usr/bin/busybox")) if p.exists()).read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "proc", "sys", "dev", "www", "run"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(info)
        for name, data in (("bin/busybox", busybox), ("bin/web", WEB.encode())):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return out.getvalue()
