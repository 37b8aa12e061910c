"""Small tools that containers expect: hostname, wget, curl, nslookup, nc.

They stand in front of the host's own tools of these names, because they know what those cannot: where the cluster's
DNS listens, and which ports are mapped. All others (ls, cat, grep, ...) are the host's.

Models:    the applets of busybox, and as much of curl as `kubectl exec` is used for
Left out:  most options; an unknown one is an error, not passed over
"""

from __future__ import annotations

import os
import select
import socket
import sys
from urllib.parse import urljoin

from kubelab.node.runtime.images import pod, resolver
from kubelab.node.runtime.images.fetch import Fetched, FetchError, connect, fetch

MAX_REDIRECTS = 10


def options(argv: list[str], plain: str, valued: str, long: str = "") -> tuple[dict[str, str], list[str]]:
    """Read options as getopt does, in any order; "valued" letters take an argument. Raises: ValueError.

    `long` names the long options, separated by spaces; an argument of theirs follows an equals sign.
    """
    flags: dict[str, str] = {}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += words
        elif word.startswith("--"):
            name, _, value = word[2:].partition("=")
            if name not in long.split():
                raise ValueError(f"unrecognized option '--{name}'")
            flags[name] = f"{flags[name]}\n{value}" if name in flags else value
        elif word.startswith("-") and len(word) > 1:
            for at, letter in enumerate(word[1:], 1):
                if letter in valued:
                    value = word[at + 1:] or next(words, "")
                    flags[letter] = f"{flags[letter]}\n{value}" if letter in flags else value
                    break
                if letter not in plain:
                    raise ValueError(f"invalid option -- '{letter}'")
                flags[letter] = ""
        else:
            rest.append(word)
    return flags, rest


def hostname(argv: list[str]) -> int:
    """Print the pod's host name; with -i its address."""
    name = pod.hostname()
    print(pod.address() if argv and argv[0] in ("-i", "-I") else name.partition(".")[0] if argv == ["-s"] else name)
    return 0


# ── wget and curl ────────────────────────────────────────────────────────────────────────────────────────────


def _follow(url: str, *, method: str = "GET", headers: list[tuple[str, str]], body: bytes = b"",
            timeout_s: float | None, follow: bool = True, ca_file: str | None = None, verify: bool = True) -> Fetched:
    for _ in range(MAX_REDIRECTS):
        got = fetch(url, method=method, headers=headers, body=body, timeout_s=timeout_s, ca_file=ca_file,
                    verify=verify)
        if not follow or got.status not in (301, 302, 303, 307, 308) or not got.header("location"):
            return got
        url = urljoin(url if "://" in url else f"http://{url}", got.header("location"))
    raise FetchError("too many redirections")


def _headers(lines: str) -> list[tuple[str, str]]:
    pairs = (line.partition(":") for line in lines.split("\n") if ":" in line)
    return [(key.strip(), value.strip()) for key, _, value in pairs]


def wget(argv: list[str]) -> int:
    """Run `wget [-q] [-S] [-O FILE] [-T SECONDS] [--header=...] [--post-data=...] [--spider] URL`."""
    try:
        flags, urls = options(argv, "qScn", "OTUPt", "header post-data spider timeout no-check-certificate")
        if not urls:
            raise ValueError("missing URL")
    except ValueError as error:
        print(f"wget: {error}\nUsage: wget [-q] [-S] [-O FILE] [-T SEC] [--header STR] [--post-data STR] URL",
              file=sys.stderr)
        return 1
    url = urls[0]
    body = flags.get("post-data", "").encode()
    headers = [("User-Agent", flags.get("U", "Wget")), *_headers(flags.get("header", ""))]
    timeout = flags.get("T") or flags.get("timeout")
    try:
        got = _follow(url, method="POST" if body else "GET", headers=headers, body=body,
                      timeout_s=float(timeout) if timeout else None, verify="no-check-certificate" not in flags)
    except FetchError as error:
        host = url.partition("://")[2].partition("/")[0] or url
        known = str(error).startswith(("bad address", "not an http"))
        print(f"wget: {error}" if known else f"wget: can't connect to remote host ({host}): {error}", file=sys.stderr)
        return 1
    if "S" in flags:
        print(f"  HTTP/1.1 {got.status} {got.reason}", *(f"  {k}: {v}" for k, v in got.headers), sep="\n",
              file=sys.stderr)
    if got.status >= 400:
        print(f"wget: server returned error: HTTP/1.1 {got.status} {got.reason}", file=sys.stderr)
        return 1
    if "spider" not in flags:
        _save(got.body, flags.get("O") or url.rstrip("/").rpartition("/")[2] or "index.html", quiet="q" in flags)
    return 0


def _save(body: bytes, path: str, *, quiet: bool) -> None:
    if path == "-":
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    with open(pod.path(path), "wb") as file:
        file.write(body)
    if not quiet:
        print(f"saving to '{path}'\n'{path}' saved", file=sys.stderr)


def curl(argv: list[str]) -> int:
    """Run `curl [-s] [-S] [-i] [-I] [-L] [-f] [-v] [-o FILE] [-w FORMAT] [-X METHOD] [-H ...] [-d ...] [-m S] URL`."""
    long = {"silent": "s", "include": "i", "head": "I", "location": "L", "fail": "f", "verbose": "v",
            "insecure": "k", "show-error": "S"}
    valued = {"--request": "-X", "--header": "-H", "--data": "-d", "--output": "-o", "--max-time": "-m",
              "--write-out": "-w", "--cacert": "-C", "--connect-timeout": "-m", "--user-agent": "-A"}
    try:
        words = [part for word in argv for part in _split_long(word, valued)]
        flags, urls = options(words, "sSiILfvkN4", "oXHdmwAC", " ".join(long))
        if not urls:
            raise ValueError("no URL specified")
    except ValueError as error:
        print(f"curl: (2) {error}", file=sys.stderr)
        return 2
    flags |= {letter: "" for name, letter in long.items() if name in flags}
    body = flags.get("d", "").replace("\n", "&").encode()
    headers = [("User-Agent", flags.get("A", "curl/8.14.1")), ("Accept", "*/*"), *_headers(flags.get("H", ""))]
    if body and not any(key.lower() == "content-type" for key, _ in headers):
        headers.append(("Content-Type", "application/x-www-form-urlencoded"))
    method = flags.get("X") or ("HEAD" if "I" in flags else "POST" if body else "GET")
    try:
        got = _follow(urls[0], method=method, headers=headers, body=body, follow="L" in flags,
                      timeout_s=float(flags["m"]) if "m" in flags else None, ca_file=flags.get("C"),
                      verify="k" not in flags)
    except FetchError as error:
        return _curl_error(urls[0], str(error), silent="s" in flags and "S" not in flags)
    return _curl_show(got, flags)


def _split_long(word: str, valued: dict[str, str]) -> list[str]:
    name, equals, value = word.partition("=")
    if name in valued:
        return [valued[name], value] if equals else [valued[name]]
    return [word]


def _curl_error(url: str, why: str, *, silent: bool) -> int:
    host, _, port = (url.partition("://")[2] or url).partition("/")[0].partition(":")
    code, text = 7, f"Failed to connect to {host} port {port or 80}: {why}"
    if why.startswith("bad address"):
        code, text = 6, f"Could not resolve host: {host}"
    elif "timed out" in why:
        code, text = 28, why
    elif why.startswith("Empty reply"):
        code, text = 52, why
    elif why.startswith("SSL"):
        code, text = 60, why
    elif why.startswith("not an http"):
        code, text = 1, why
    if not silent:
        print(f"curl: ({code}) {text}", file=sys.stderr)
    return code


def _curl_show(got: Fetched, flags: dict[str, str]) -> int:
    head = f"HTTP/1.1 {got.status} {got.reason}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in got.headers) + "\r\n"
    if "v" in flags:
        sys.stderr.write("".join(f"< {line}\n" for line in head.splitlines()))
    failed = "f" in flags and got.status >= 400
    if failed and "s" not in flags:
        print(f"curl: (22) The requested URL returned error: {got.status}", file=sys.stderr)
    shown = head.encode() if "i" in flags or "I" in flags else b""
    if not failed:
        shown += got.body
    if "o" in flags and flags["o"] != "-":
        with open(pod.path(flags["o"]), "wb") as file:
            file.write(shown)
    else:
        sys.stdout.buffer.write(shown)
    form = flags.get("w", "").replace("\\n", "\n").replace("%{http_code}", f"{got.status:03d}")
    sys.stdout.buffer.write(form.replace("%{remote_ip}", got.remote[0]).encode())
    sys.stdout.buffer.flush()
    return 22 if failed else 0


# ── names and connections ────────────────────────────────────────────────────────────────────────────────────


def nslookup(argv: list[str]) -> int:
    """Run `nslookup [-type=TYPE] NAME [SERVER]`."""
    flags = [word for word in argv if word.startswith("-")]
    words = [word for word in argv if not word.startswith("-")]
    if not words:
        print("Usage: nslookup [-type=QUERY_TYPE] HOST [DNS_SERVER]", file=sys.stderr)
        return 1
    kind = next((flag.partition("=")[2].upper() for flag in flags if "=" in flag), "")
    at = (words[1], resolver.server()[1] or 53) if len(words) > 1 else resolver.server()
    print(f"Server:\t\t{at[0]}\nAddress:\t{at[0]}:{at[1]}\n")
    name, kinds = words[0], [kind] if kind else ["A", "AAAA"]
    if kinds == ["A", "AAAA"] and name.replace(".", "").isdecimal():
        name, kinds = ".".join(reversed(name.split("."))) + ".in-addr.arpa", ["PTR"]
    try:
        return _nslookup(name, kinds, at)
    except (resolver.NoServer, KeyError) as error:
        print(f";; {error if isinstance(error, resolver.NoServer) else f'unknown query type: {kind}'}", file=sys.stderr)
        return 1


def _nslookup(name: str, kinds: list[str], at: tuple[str, int]) -> int:
    tried: list[tuple[str, int]] = []
    for candidate in resolver.candidates(name) if not name.endswith(".arpa") else [name]:
        found: list[resolver.Record] = []
        code = 0
        for kind in kinds:
            code, records = resolver.ask(candidate, kind, at)
            found += records
        tried.append((candidate, code))
        if found or code == 0:
            for record, kind, data in found:
                print(f"Name:\t{record}\nAddress: {data}" if kind in ("A", "AAAA") else
                      f"{record}\t{'name' if kind == 'PTR' else kind} = {data}")
            if not found:
                print(f"*** Can't find {candidate}: No answer")
            return 0
    for candidate, code in tried:
        print(f"** server can't find {candidate}: {resolver.CODES.get(code, code)}", file=sys.stderr)
    return 1


def nc(argv: list[str]) -> int:
    """Run `nc [-z] [-v] [-w SECONDS] HOST PORT`, or `nc -l [-p] PORT` to take one connection."""
    try:
        flags, words = options(argv, "zvlnku", "wp")
        port = int(flags.get("p") or words[-1])
        if "l" in flags:
            with pod.bind(port) as listener:
                sock, _ = listener.accept()
        else:
            sock = connect(words[0], port, float(flags["w"]) if "w" in flags else None)
    except (ValueError, IndexError):
        print("Usage: nc [-zv] [-w SEC] HOST PORT | nc -l [-p] PORT", file=sys.stderr)
        return 1
    except (FetchError, OSError) as error:
        print(f"nc: {error}", file=sys.stderr)
        return 1
    with sock:
        if "v" in flags and "l" not in flags:
            print(f"{words[0]} ({sock.getpeername()[0]}:{port}) open", file=sys.stderr)
        if "z" not in flags:
            _copy(sock, float(flags["w"]) if "w" in flags else None)
    return 0


def _copy(sock: socket.socket, timeout_s: float | None) -> None:
    """Carry standard input to the socket and the socket to standard output until the socket ends."""
    sources: list[int] = [0, sock.fileno()]
    while ready := select.select(sources, [], [], timeout_s)[0]:
        if sock.fileno() in ready:
            data = sock.recv(65536)
            if not data:
                return
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        if 0 in ready:
            data = os.read(0, 65536)
            if data:
                sock.sendall(data)
            else:
                sources.remove(0)
                sock.shutdown(socket.SHUT_WR)
