"""The private root where nobody is root: a learner's own machine."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from kubelab.node.runtime import process_root

NOBODY = 65534


def unprivileged(work: Callable[[str], object]) -> object:
    """Run `work(folder)` in a fork of this process without root rights; return what it returned, by JSON."""
    folder = tempfile.mkdtemp(prefix="kubelab-root-", dir="/tmp")
    reader, writer = os.pipe()
    try:
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        if (pid := os.fork()) == 0:
            try:
                if os.getuid() == 0:
                    os.setgroups([])
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                    process_root.prctl(process_root.PR_SET_DUMPABLE, 1)  # else our own /proc/self belongs to root
                said = json.dumps(work(folder))
            except BaseException:
                said = json.dumps(traceback.format_exc())
            os.write(writer, said.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            answer: object = json.loads(pipe.read())
        os.waitpid(pid, 0)
        return answer
    finally:
        shutil.rmtree(folder)


def test_folders_that_the_host_lacks_are_made() -> None:
    """An image's files and its working folder may stand below /usr/local, /usr/share and /opt, which are root's."""
    places = ("/usr/local/kubelab-test/htdocs", "/usr/share/kubelab-test/html", "/opt/kubelab-test/app")

    def work(folder: str) -> object:
        source = Path(folder, "volume")
        source.mkdir()
        (source / "file").write_text("from a volume")
        base = Path(folder, "base")
        base.mkdir()
        process_root.build({
            "base": str(base), "hostname": "web-1", "files": {"/etc/hostname": "web-1\n"}, "visible": {}, "user": 0,
            "trees": {place: {"index.html": "hello"} for place in places[:2]}, "cwd": "/usr/local/kubelab-cwd",
            "mounts": [(str(source), places[2], True)], "read_only": False})
        Path("/usr/local/kubelab-cwd/note").write_text("mine")
        return [Path(place, "index.html").read_text() for place in places[:2]] \
            + [Path(places[2], "file").read_text(), Path("/etc/hostname").read_text(), os.path.isdir("/usr/bin")]

    assert unprivileged(work) == ["hello", "hello", "from a volume", "web-1\n", True]
    assert not any(os.path.exists(place) for place in (*places, "/usr/local/kubelab-cwd"))
