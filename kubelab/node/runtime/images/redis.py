"""redis: a RESP server with the commands that lessons use, in memory.

    client ─► *2 $3 GET $1 k ─► parse ─► COMMANDS["GET"] ─► $1 v ─► client

Invariant: one thread, so every command is atomic; an expired key is gone for every command that looks at it.
Models:    docker.io/library/redis, RESP2
Left out:  persistence, replication, transactions, scripting, streams, cluster mode
"""

from __future__ import annotations

import os
import sys
import time
from fnmatch import fnmatchcase

from kubelab.node.runtime.images import pod, redis_commands
from kubelab.node.runtime.images.fetch import FetchError, connect
from kubelab.node.runtime.images.loop import Peer, Server
from kubelab.node.runtime.images.redis_commands import Reply, Status, Wrong


class Store:
    """The keys, their values (bytes, list, dict, set) and when they end; and who listens to which channel."""

    def __init__(self, password: str = "") -> None:
        self.values: dict[bytes, redis_commands.Value] = {}
        self.ends: dict[bytes, float] = {}  # Unix seconds
        self.channels: dict[bytes, set[Peer]] = {}
        self.password = password
        self.began, self.commands, self.connections = time.time(), 0, 0

    def get(self, key: bytes) -> redis_commands.Value | None:
        if self.ends.get(key, float("inf")) <= time.time():
            self.drop(key)
        return self.values.get(key)

    def drop(self, key: bytes) -> bool:
        self.ends.pop(key, None)
        return self.values.pop(key, None) is not None

    def keys(self, pattern: str = "*") -> list[bytes]:
        return [key for key in list(self.values) if fnmatchcase(key.decode("latin-1"), pattern)
                and self.get(key) is not None]


def parse(data: bytearray) -> list[bytes] | None:
    """Take one command off the bytes: an array of bulk strings, or an inline line. Raises: Wrong."""
    end = data.find(b"\r\n")
    if end < 0:
        if len(data) > 65536:
            raise Wrong("ERR Protocol error: too big inline request")
        return None
    if data[:1] != b"*":
        words = bytes(data[:end]).split()
        del data[:end + 2]
        return words
    found: list[bytes] = []
    at = end + 2
    for _ in range(_number(data[1:end], "invalid multibulk length")):
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        if data[at:at + 1] != b"$":
            raise Wrong(f"ERR Protocol error: expected '$', got '{chr(data[at])}'")
        size = _number(data[at + 1:line], "invalid bulk length")
        at = line + 2 + size + 2
        if len(data) < at:
            return None
        found.append(bytes(data[line + 2:line + 2 + size]))
    del data[:at]
    return found


def _number(text: bytes | bytearray, why: str) -> int:
    if not text.isdigit() or int(text) > 64 << 20:
        raise Wrong(f"ERR Protocol error: {why}")
    return int(text)


def encode(reply: Reply) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, Status):
        return b"+%s\r\n" % reply.encode()
    if isinstance(reply, bool | int):
        return b":%d\r\n" % reply
    if isinstance(reply, Wrong):
        return b"-%s\r\n" % str(reply).encode()
    if isinstance(reply, str):
        reply = reply.encode()
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    return b"*%d\r\n" % len(reply) + b"".join(encode(item) for item in reply)


def serve(store: Store, peer: Peer) -> None:
    """Answer every whole command that the peer has sent."""
    while not peer.closed:
        try:
            words = parse(peer.inbound)
        except Wrong as error:
            peer.send(encode(error))
            peer.close()
            return
        if words is None:
            return
        if words:
            peer.send(run(store, peer, words))
            if words[0].upper() == b"QUIT":
                peer.close()


def run(store: Store, peer: Peer, words: list[bytes]) -> bytes:
    name = words[0].decode("latin-1").upper()
    store.commands += 1
    try:
        if store.password and peer.state != "in" and name not in ("AUTH", "QUIT", "HELLO"):
            raise Wrong("NOAUTH Authentication required.")
        if name == "AUTH":
            if words[-1].decode() != store.password:
                raise Wrong("WRONGPASS invalid username-password pair or user is disabled.")
            peer.state = "in"
            return encode(Status("OK"))
        if name in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return _subscribe(store, peer, name.lower(), words[1:])
        if name == "PUBLISH" and len(words) == 3:
            listeners = {p for p in store.channels.get(words[1], ()) if not p.closed}
            for listener in listeners:
                listener.send(encode(["message", words[1], words[2]]))
            return encode(len(listeners))
        return encode(redis_commands.run(store, name, words[1:]))
    except Wrong as error:
        return encode(error)


def _subscribe(store: Store, peer: Peer, verb: str, channels: list[bytes]) -> bytes:
    out = b""
    for channel in channels:
        listeners = store.channels.setdefault(channel, set())
        (listeners.add if verb == "subscribe" else listeners.discard)(peer)
        count = sum(peer in peers for peers in store.channels.values())
        out += encode([verb, channel, count])
    return out


def main(argv: list[str]) -> int:
    """Run `redis-server [--port N] [--requirepass WORD]`; a configuration file and other options are passed over."""
    flags = dict(zip((w.lstrip("-") for w in argv), argv[1:], strict=False))
    store, running, port = Store(flags.get("requirepass", "")), Server(), int(flags.get("port", 6379))
    try:
        running.listen(port, lambda peer: serve(store, peer))
    except OSError as error:
        print(f"Could not create server TCP listening socket {pod.address()}:{port}: bind: {error.strerror}",
              file=sys.stderr)
        return 1
    _log(f"Redis version={os.environ.get('REDIS_VERSION', '8.2.2')}, kubelab's stand-in, just started")
    _log("Ready to accept connections tcp")
    code = running.run()
    _log("Redis is now ready to exit, bye bye...")
    return code


def _log(text: str) -> None:
    print(f"{os.getpid()}:M {time.strftime('%d %b %Y %H:%M:%S.000', time.gmtime())} * {text}", flush=True)


# ── redis-cli ────────────────────────────────────────────────────────────────────────────────────────────────


def cli(argv: list[str]) -> int:
    """Run `redis-cli [-h HOST] [-p PORT] [-a PASSWORD] [COMMAND ...]`; without a command, one per line of stdin."""
    host, port, password = "localhost", 6379, os.environ.get("REDISCLI_AUTH", "")
    words = list(argv)
    while len(words) > 1 and words[0] in ("-h", "-p", "-a"):
        flag, value, *words = words
        host, port, password = (value, port, password) if flag == "-h" else \
            (host, int(value), password) if flag == "-p" else (host, port, value)
    try:
        sock = connect(host, port, 10)
    except FetchError as error:
        print(f"Could not connect to Redis at {host}:{port}: {error}", file=sys.stderr)
        return 1
    with sock, sock.makefile("rwb") as stream:
        if password:
            _ask(stream, ["AUTH", password])
        lines = [words] if words else (line.split() for line in sys.stdin)
        for line in lines:
            if line:
                print(_ask(stream, line), flush=True)
    return 0


def _ask(stream: redis_commands.Stream, words: list[str]) -> str:
    stream.write(encode([word.encode() for word in words]))
    stream.flush()
    return "\n".join(_read(stream, tty=sys.stdout.isatty()))


def _read(stream: redis_commands.Stream, *, tty: bool) -> list[str]:
    line = stream.readline().rstrip(b"\r\n")
    kind, text = line[:1], line[1:].decode(errors="replace")
    if kind == b"$":
        if text == "-1":
            return ["(nil)" if tty else ""]
        value = stream.read(int(text) + 2)[:-2].decode(errors="replace")
        return [f'"{value}"' if tty else value]
    if kind == b"*":
        items = [_read(stream, tty=tty) for _ in range(int(text))]
        if not tty:
            return [line for item in items for line in item]
        return [f"{n}) {item[0]}" for n, item in enumerate(items, 1)] or ["(empty array)"]
    if kind == b":":
        return [f"(integer) {text}" if tty else text]
    return [f"(error) {text}" if kind == b"-" and tty else text]
