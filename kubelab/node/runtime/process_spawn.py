"""From a fork of the shim to the container's program: what happens in the child, in order.

    fork ─► new session, streams on 0 1 2 ─► control groups ─► private root ─► user, folder ─► program
                                                                                ├─ shipped: called, no exec
                                                                                └─ any other: execve

Invariant: the child never returns into the shim's code; a failure before the program starts is written to the
           error pipe, which closes by itself when the program has started.
Models:    runc init
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import termios
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from kubelab.node.runtime import process_cgroup, process_root
from kubelab.node.runtime.images.programs import Program


class NotStarted(Exception):
    """Why the program could not be started, in runc's words."""


def become(spec: Mapping[str, Any], streams: Sequence[int], error_pipe: int, shim: int,
           programs: Mapping[str, Program]) -> NoReturn:
    """Turn this fork into the program of `spec`. `streams` are stdin, stdout, stderr; a terminal is all three."""
    code = 126
    try:
        os.setsid()
        error_pipe = _take_streams(streams, error_pipe, tty=spec["tty"])
        _prepare(spec, shim)
        code = _run(spec["argv"], spec["env"], error_pipe, programs)
    except (NotStarted, OSError, ValueError, KeyError) as error:
        os.write(error_pipe, _in_words(error).encode())
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        _flush()
        os._exit(code)


def _in_words(error: Exception) -> str:
    """Return an error of the system as Go writes it: "/etc/passwd: file exists"."""
    if isinstance(error, OSError) and error.filename and error.errno:
        return f"{os.fsdecode(error.filename)}: {os.strerror(error.errno).lower()}"
    return str(error)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # the reader is gone; there is nobody left to tell


def _take_streams(streams: Sequence[int], error_pipe: int, *, tty: bool) -> int:
    """Put the streams on 0, 1, 2, close everything else, and return where the error pipe now is."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (*streams, error_pipe)]
    if tty:
        fcntl.ioctl(high[0], termios.TIOCSCTTY, 0)
    for number, fd in enumerate(high[:3]):
        os.dup2(fd, number, inheritable=True)
    os.dup2(high[3], 3, inheritable=False)
    os.closerange(4, 1 << 20)
    return 3


def _prepare(spec: Mapping[str, Any], shim: int) -> None:
    if spec.get("cgroups"):
        process_cgroup.join(spec["cgroups"])
    elif spec.get("memory"):
        process_cgroup.fall_back(spec["memory"])
    if spec.get("join"):
        process_root.enter(spec["join"])
    elif spec.get("private"):
        process_root.build(spec)
    if os.getuid() == 0:
        user = spec.get("user") or 0
        if user or spec.get("group") or spec.get("groups"):
            os.setgroups(spec.get("groups") or [])
            os.setgid(spec.get("group") or 0)
            os.setuid(user)
        process_root.prctl(process_root.PR_SET_DUMPABLE, 1)  # so that `exec` can find our namespaces
    if spec.get("no_new_privileges"):
        process_root.call("prctl", process_root.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    process_root.prctl(process_root.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != shim:  # it died before we asked to die with it
        os._exit(137)
    try:
        os.chdir(spec["cwd"])
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise NotStarted(f'chdir to cwd ("{spec["cwd"]}") set in config.json failed: {why}') from None


def _run(argv: list[str], env: dict[str, str], error_pipe: int, programs: Mapping[str, Program]) -> int:
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    name = os.path.basename(argv[0])
    program = programs.get(name)
    if program is None or ("/" in argv[0] and os.path.exists(argv[0])):
        _execute(argv, env)
    os.environ.clear()
    os.environ.update(env)
    process_root.prctl(process_root.PR_SET_NAME, name.encode()[:15])
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin, sys.stdout, sys.stderr = (open(0), open(1, "w", buffering=1), open(2, "w", buffering=1))  # noqa: SIM115
    sys.argv = argv
    os.close(error_pipe)  # the decisive instant: from here on the container runs
    return program(argv[1:])


def _execute(argv: list[str], env: dict[str, str]) -> NoReturn:
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        if error.errno == errno.ENOENT and "/" not in argv[0]:
            why = "executable file not found in $PATH"
        elif error.errno == errno.ENOENT:
            why = f"stat {argv[0]}: no such file or directory"
        else:
            why = os.strerror(error.errno or 0).lower()
        raise NotStarted(f'exec: "{argv[0]}": {why}') from None
