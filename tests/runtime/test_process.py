"""The process runtime: containers that run, end, are stopped, looked into and cleaned up."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from kubelab.node.runtime import process
from kubelab.node.runtime.protocol import Mount, RuntimeFailure


async def test_a_command_runs_and_ends_with_its_code(pods: Any) -> None:
    """A container says what it says on both streams and is Completed or Error by its exit code."""
    good = await pods.run("good", "busybox", "sh", "-c", "echo out; echo err >&2")
    bad = await pods.run("bad", "busybox:1.36", "sh", "-c", "exit 3")
    status = await pods.ended(good)
    assert (status.exit_code, status.reason) == (0, "Completed")
    assert sorted((await pods.log(good)).splitlines()) == ["err", "out"]
    status = await pods.ended(bad)
    assert (status.exit_code, status.reason, status.signal) == (3, "Error", 0)
    assert status.finished_at >= status.started_at > 0


async def test_args_replace_the_command_and_keep_the_entry_point(pods: Any) -> None:
    """`args` alone go to the image's entry point, `command` replaces it, as Kubernetes has it."""
    container = await pods.run("echo", "hashicorp/http-echo", args=("-text=hello", "-listen=:5678"))
    await pods.line(container, "serving")
    assert await pods.exec(container, "curl", "-s", "localhost:5678") == (0, "hello\n", "")


async def test_a_program_that_is_not_there_is_a_start_error(pods: Any) -> None:
    """A command that does not exist raises RunContainerError in runc's words, and the container has exited with 128."""
    container = await pods.create("none", "busybox", "no-such-program")
    with pytest.raises(RuntimeFailure, match=r'exec: "no-such-program": executable file not found in \$PATH') as caught:
        await pods.runtime.start_container(container)
    assert caught.value.reason == "RunContainerError"
    status = await pods.status(container)
    assert (status.state, status.exit_code, status.reason) == ("exited", 128, "StartError")


async def test_stopping_gives_a_chance_first(pods: Any) -> None:
    """SIGTERM comes first and its handler runs; who does not listen is killed when the grace period is over."""
    polite = await pods.run("polite", "busybox", "sh", "-c",
                            "trap 'echo bye; exit 7' TERM; echo up; while true; do sleep 0.05; done")
    deaf = await pods.run("deaf", "busybox", "sh", "-c", "trap '' TERM; echo up; while true; do sleep 0.05; done")
    for container in (polite, deaf):
        await pods.line(container, "up")
    await pods.runtime.stop_container(polite, 10)
    assert (await pods.status(polite)).exit_code == 7
    assert "bye" in await pods.log(polite)
    await pods.runtime.stop_container(deaf, 0.2)
    assert ((await pods.status(deaf)).exit_code, (await pods.status(deaf)).signal) == (137, 9)


async def test_nothing_escapes_its_container(pods: Any) -> None:
    """A grandchild in a session of its own is gone soon after the container has ended."""
    container = await pods.run("fork", "busybox", "sh", "-c", "setsid sh -c 'echo up; exec sleep 4321' & wait")
    await pods.line(container, "up")
    sleepers = psutil.Process((await pods.status(container)).pid).children(recursive=True)
    assert sleepers
    await pods.runtime.stop_container(container, 0)
    await all_gone(sleepers)


def running(command: str) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if " ".join(one.info["cmdline"] or ()) == command]


async def all_gone(processes: list[psutil.Process]) -> None:
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=5)
    assert not alive


async def test_volumes_stand_at_their_paths(pods: Any, tmp_path: Path) -> None:
    """A volume is there at its container path, for shell words and for kubelab's own programs."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "index.html").write_text("mine\n")
    mounts = (Mount(str(volume), "/usr/share/nginx/html"), Mount(str(volume / "index.html"), "/data/one/file.txt"))
    web = await pods.run("web", "nginx", mounts=mounts)
    await pods.line(web, "start worker")
    assert (await pods.exec(web, "curl", "-s", "http://localhost/"))[1] == "mine\n"
    code, out, _ = await pods.exec(web, "sh", "-c", "cat /data/one/file.txt; echo new > /usr/share/nginx/html/new.txt")
    assert (code, out) == (0, "mine\n")
    assert (volume / "new.txt").read_text() == "new\n"


async def test_each_pod_has_its_own_port_80(pods: Any) -> None:
    """Two web servers on the same port do not disturb each other, and each knows its own name."""
    one, two = await pods.run("one", "traefik/whoami"), await pods.run("two", "traefik/whoami:v1.10")
    for container, name in ((one, "one"), (two, "two")):
        await pods.line(container, "Starting")
        answer = (await pods.exec(container, "wget", "-qO-", "http://localhost/"))[1]
        assert f"Hostname: {name}\n" in answer
        assert f"IP: {pods.sandboxes[container].ip}\n" in answer


async def test_python_binds_the_pod(pods: Any) -> None:
    """A Python program that binds all interfaces gets its pod's address, so every pod can have such a server."""
    code = "import http.server as h, socket, functools, builtins; print(socket.gethostname(), flush=True);" \
           "h.print = functools.partial(print, flush=True); h.test(h.SimpleHTTPRequestHandler, port=8000)"
    for name in ("a", "b"):
        container = await pods.run(name, "python:3.12-slim", "python", "-c", code)
        await pods.line(container, name)
        await pods.line(container, "Serving HTTP")
        assert (await pods.exec(container, "curl", "-sS", "-o", "/dev/null", "localhost:8000")) == (0, "", "")


async def test_environment_and_folder(pods: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container sees its own environment and working folder, and nothing of the notebook's."""
    monkeypatch.setenv("SECRET_OF_THE_KERNEL", "x")
    container = await pods.run("env", "busybox", "sh", "-c", "env; pwd", env={"GREETING": "hi $HOME"},
                               working_dir="/srv/app")
    await pods.ended(container)
    lines = (await pods.log(container)).splitlines()
    assert "GREETING=hi $HOME" in lines and "HOSTNAME=env" in lines
    assert lines[-1].endswith("/srv/app")
    assert not any("SECRET_OF_THE_KERNEL" in line for line in lines)


async def test_exec_with_stdin_and_exit_code(pods: Any) -> None:
    """`exec` carries stdin in, both outputs and the exit code out, and says when a program is not there."""
    container = await pods.run("box", "busybox", "sleep", "1000")
    assert await pods.exec(container, "sh", "-c", "cat; echo e >&2; exit 5", stdin=b"hello\n") == (5, "hello\n", "e\n")
    big = os.urandom(1 << 20).hex().encode()
    assert (await pods.exec(container, "wc", "-c", stdin=big))[1].strip() == str(len(big))
    with pytest.raises(RuntimeFailure, match=r'exec: "nope": executable file not found in \$PATH'):
        await pods.exec(container, "nope")


async def test_exec_with_a_terminal(pods: Any) -> None:
    """A terminal is a terminal for the program, of the size that was asked for, and closing kills it."""
    container = await pods.run("box", "busybox", "sleep", "1000")
    streams = await pods.runtime.exec(container, ["sh"], tty=True, stdin=True)
    await streams.resize(91, 33)
    await streams.write_stdin(b"test -t 0 && stty size; echo en''d\n")
    seen = b""
    async for _, data in streams.output():
        seen += data
        if b"end\r\n" in seen:
            break
    assert b"33 91" in seen
    await streams.close()
    assert await streams.wait() in (137, 129)


async def test_attach_reads_and_writes(pods: Any) -> None:
    """`attach` reaches the running program's stdin and sees what it says from then on."""
    container = await pods.run("cat", "busybox", "sh", "-c", "while read line; do echo got $line; done; echo end",
                               stdin=True, stdin_once=True)
    streams = await pods.runtime.attach(container)
    await streams.write_stdin(b"one\n")
    await streams.close_stdin()
    assert b"".join([data async for _, data in streams.output()]) == b"got one\nend\n"
    assert await streams.wait() == 0


async def test_a_port_is_reached_through_the_runtime(pods: Any) -> None:
    """`port_forward` opens a stream into the pod, and says so when nobody listens."""
    container = await pods.run("web", "nginx")
    await pods.line(container, "start worker")
    sandbox = pods.sandboxes[container]
    stream = await pods.runtime.port_forward(sandbox.id, 80)
    await stream.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await stream.read()).startswith(b"HTTP/1.1 200 OK")
    await stream.close()
    with pytest.raises(RuntimeFailure, match="failed to connect to localhost:81"):
        await pods.runtime.port_forward(sandbox.id, 81)


async def test_stopping_the_runtime_leaves_nothing(pods: Any, tmp_path: Path) -> None:
    """After `stop` no process of this runtime runs, and no folder of a container is left."""
    for number in range(4):
        await pods.run(f"web-{number}", "nginx")
    shim = psutil.Process(pods.runtime.shim.pid)
    children = shim.children(recursive=True)
    assert len(children) == 4
    await pods.runtime.stop()
    assert not shim.is_running() and not any(child.is_running() for child in children)
    assert not list((tmp_path / "node-1" / "containers").iterdir())


async def test_a_killed_shim_ends_the_containers(pods: Any) -> None:
    """When somebody kills the shim, its containers end with it, are reported, and new ones can be started."""
    container = await pods.run("box", "busybox", "sh", "-c", "sleep 5432 & echo up; wait")
    await pods.line(container, "up")
    sleepers = running("sleep 5432")
    psutil.Process(pods.runtime.shim.pid).kill()
    assert (await pods.ended(container)).exit_code == 137
    await all_gone(sleepers)
    again = await pods.run("again", "busybox", "echo", "back")
    assert (await pods.ended(again)).exit_code == 0


async def test_usage_is_measured(pods: Any) -> None:
    """A busy container shows CPU seconds, any running one memory."""
    container = await pods.run("busy", "busybox", "sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; "
                                                             "echo done; sleep 1000")
    await pods.line(container, "done")
    usage = await pods.runtime.stats(container)
    assert usage.cpu_seconds > 0.05 and 1 << 14 < usage.memory_bytes < 64 << 20


def test_capabilities_say_what_the_kernel_allows() -> None:
    """The doctor learns whether containers get private mounts and their own host name."""
    assert set(process.capabilities()) == {"private mounts", "own host name"}
