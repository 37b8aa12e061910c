"""Serving files over HTTP: what nginx and httpd have in common.

Invariant: no path leads out of the root folder, however it is written, except by a link inside it.
"""

from __future__ import annotations

import mimetypes
import os
import posixpath
import stat
import time
from collections.abc import Sequence
from http import HTTPStatus

from kubelab.node.runtime.images import pod
from kubelab.node.runtime.images.http import Request, Response, date

TYPES = mimetypes.MimeTypes()  # the built-in table, whatever the host has in /etc


def serve(root: str, path: str, request: Request, *, index: Sequence[str] = ("index.html",), name: str,
          listing: bool = False) -> Response:
    """Return the file at `path` below the folder `root` of the container."""
    if request.method not in ("GET", "HEAD"):
        return error(405, name)
    top = pod.path(root)
    clean = posixpath.normpath("/" + path).lstrip("/")
    if "\0" in clean:
        return error(400, name)
    found = os.path.join(top, clean)
    try:
        if stat.S_ISDIR(os.stat(found).st_mode):
            if not path.endswith("/"):
                return Response(301, b"", "text/html", {"Location": f"{path}/"})
            page = next((p for p in (os.path.join(found, i) for i in index) if os.path.isfile(p)), None)
            if page is None:
                return _listing(path, found) if listing else error(403, name)
            found = page
        return _file(found, request)
    except (FileNotFoundError, NotADirectoryError):
        return error(404, name)
    except (PermissionError, IsADirectoryError):
        return error(403, name)


def _file(path: str, request: Request) -> Response:
    with open(path, "rb") as file:
        info = os.fstat(file.fileno())
        etag = f'"{int(info.st_mtime):x}-{info.st_size:x}"'
        headers = {"Last-Modified": date(info.st_mtime), "ETag": etag, "Accept-Ranges": "bytes"}
        if request.header("if-none-match") == etag:
            return Response(304, headers=headers)
        return Response(200, file.read(), TYPES.guess_type(path)[0] or "application/octet-stream", headers)


def _listing(path: str, folder: str) -> Response:
    rows = []
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        name = entry.name + ("/" if entry.is_dir() else "")
        shown = name.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        rows.append(f'<a href="{shown}">{shown}</a>\n')
    body = f'<html>\n<head><title>Index of {path}</title></head>\n<body>\n<h1>Index of {path}</h1><hr><pre>' \
           f'<a href="../">../</a>\n{"".join(rows)}</pre><hr></body>\n</html>\n'
    return Response(200, body.encode(), "text/html")


def error_page(status: int, name: str) -> bytes:
    title = f"{status} {HTTPStatus(status).phrase}"
    return (f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
            f"<hr><center>{name}</center>\r\n</body>\r\n</html>\r\n").encode()


def error(status: int, name: str) -> Response:
    return Response(status, error_page(status, name), "text/html")


def common(request: Request, response: Response) -> str:
    """Return the line of the common log format."""
    when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    size = 0 if request.method == "HEAD" else len(response.body)
    return (f'{request.remote[0]} - - [{when}] "{request.method} {request.target} {request.version}" '
            f'{response.status} {size}')


def combined(request: Request, response: Response) -> str:
    """Return the line of the combined log format."""
    return (f'{common(request, response)} "{request.header("referer", "-")}" "{request.header("user-agent", "-")}"')
