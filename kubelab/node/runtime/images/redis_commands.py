"""The commands of kubelab's redis: one function each, named like the command, over a `Store`.

It is long because redis has many commands; each is a few lines and none knows another's business.

Invariant: a command reads and writes only through the store it is given; a wrong call raises Wrong with redis' words.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Protocol

Value = bytes | list[bytes] | dict[bytes, bytes] | set[bytes]
Reply = Any
"""What `redis.encode` writes: None, Status, Wrong, int, str, bytes, or a list of them."""


class Status(str):
    """A simple string: OK, PONG."""


class Wrong(Exception):
    """An error reply."""


class Stream(Protocol):
    def write(self, data: bytes, /) -> int: ...
    def flush(self) -> None: ...
    def readline(self) -> bytes: ...
    def read(self, size: int, /) -> bytes: ...


class Store(Protocol):
    values: dict[bytes, Value]
    ends: dict[bytes, float]
    began: float
    commands: int

    def get(self, key: bytes) -> Value | None: ...
    def drop(self, key: bytes) -> bool: ...
    def keys(self, pattern: str = "*") -> list[bytes]: ...


OK = Status("OK")
CO_VARARGS = 4


def run(store: Store, name: str, args: list[bytes]) -> Reply:
    """Run one command. Raises: Wrong."""
    command = COMMANDS.get(name)
    if command is None:
        shown = " ".join(f"'{a.decode(errors='replace')}'" for a in args)
        raise Wrong(f"ERR unknown command '{name}', with args beginning with: {shown}")
    code = command.__code__
    fewest = code.co_argcount - len(command.__defaults__ or ())
    endless = bool(code.co_flags & CO_VARARGS)
    if not fewest <= len(args) + 1 <= (sys.maxsize if endless else code.co_argcount):
        raise Wrong(f"ERR wrong number of arguments for '{name.lower()}' command")
    reply: Reply = command(store, *args)
    return reply


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise Wrong("ERR value is not an integer or out of range") from None


def _typed(store: Store, key: bytes, kind: type) -> Value | None:
    value = store.get(key)
    if value is not None and not isinstance(value, kind):
        raise Wrong("WRONGTYPE Operation against a key holding the wrong kind of value")
    return value


def _text(store: Store, key: bytes) -> bytes | None:
    value = _typed(store, key, bytes)
    return value if isinstance(value, bytes) else None


def _list(store: Store, key: bytes, *, make: bool = False) -> list[bytes]:
    value = _typed(store, key, list)
    found = value if isinstance(value, list) else []
    if make:
        store.values[key] = found
    return found


def _hash(store: Store, key: bytes, *, make: bool = False) -> dict[bytes, bytes]:
    value = _typed(store, key, dict)
    found = value if isinstance(value, dict) else {}
    if make:
        store.values[key] = found
    return found


def _set(store: Store, key: bytes, *, make: bool = False) -> set[bytes]:
    value = _typed(store, key, set)
    found = value if isinstance(value, set) else set()
    if make:
        store.values[key] = found
    return found


def _tidy(store: Store, key: bytes) -> None:
    """Redis has no empty lists, hashes and sets: the key is gone with its last element."""
    if not store.values.get(key, b"x"):
        store.drop(key)


# ── server ───────────────────────────────────────────────────────────────────────────────────────────────────


def ping(store: Store, text: bytes | None = None) -> Reply:
    return Status("PONG") if text is None else text


def echo(store: Store, text: bytes) -> Reply:
    return text


def select(store: Store, number: bytes) -> Reply:
    return OK if number == b"0" else Wrong("ERR DB index is out of range")


def info(store: Store, *sections: bytes) -> Reply:
    keys = len(store.keys())
    text = (f"# Server\r\nredis_version:{os.environ.get('REDIS_VERSION', '8.2.2')}\r\nredis_mode:standalone\r\n"
            f"process_id:{os.getpid()}\r\nuptime_in_seconds:{int(time.time() - store.began)}\r\n\r\n"
            f"# Stats\r\ntotal_commands_processed:{store.commands}\r\n\r\n"
            "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n# Keyspace\r\n")
    return text + (f"db0:keys={keys},expires={len(store.ends)},avg_ttl=0\r\n" if keys else "")


def dbsize(store: Store) -> Reply:
    return len(store.keys())


def flushall(store: Store, *mode: bytes) -> Reply:
    store.values.clear()
    store.ends.clear()
    return OK


def command(store: Store, *words: bytes) -> Reply:
    return []


def client(store: Store, *words: bytes) -> Reply:
    return OK


def config(store: Store, verb: bytes, *words: bytes) -> Reply:
    return [] if verb.upper() == b"GET" else OK


def now(store: Store) -> Reply:
    at = time.time()
    return [str(int(at)), str(int(at % 1 * 1e6))]


def quit_(store: Store) -> Reply:
    return OK


# ── keys and strings ─────────────────────────────────────────────────────────────────────────────────────────


def get(store: Store, key: bytes) -> Reply:
    return _text(store, key)


def set_(store: Store, key: bytes, value: bytes, *options: bytes) -> Reply:
    words = [word.upper() for word in options]
    exists = store.get(key) is not None
    if (b"NX" in words and exists) or (b"XX" in words and not exists):
        return None
    if b"KEEPTTL" not in words:
        store.ends.pop(key, None)
    for unit, scale in ((b"EX", 1.0), (b"PX", 0.001)):
        if unit in words:
            at = words.index(unit) + 1
            if at >= len(words):
                raise Wrong("ERR syntax error")
            store.ends[key] = time.time() + _number(words[at]) * scale
    store.values[key] = value
    return OK


def setnx(store: Store, key: bytes, value: bytes) -> Reply:
    return int(set_(store, key, value, b"NX") is not None)


def setex(store: Store, key: bytes, seconds: bytes, value: bytes) -> Reply:
    return set_(store, key, value, b"EX", seconds)


def mget(store: Store, *keys: bytes) -> Reply:
    return [value if isinstance(value := store.get(key), bytes) else None for key in keys]


def mset(store: Store, *pairs: bytes) -> Reply:
    if not pairs or len(pairs) % 2:
        raise Wrong("ERR wrong number of arguments for 'mset' command")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        set_(store, key, value)
    return OK


def incrby(store: Store, key: bytes, by: bytes) -> Reply:
    value = _number(_text(store, key) or b"0") + _number(by)
    store.values[key] = str(value).encode()
    return value


def incr(store: Store, key: bytes) -> Reply:
    return incrby(store, key, b"1")


def decr(store: Store, key: bytes) -> Reply:
    return incrby(store, key, b"-1")


def decrby(store: Store, key: bytes, by: bytes) -> Reply:
    return incrby(store, key, str(-_number(by)).encode())


def append(store: Store, key: bytes, more: bytes) -> Reply:
    store.values[key] = value = (_text(store, key) or b"") + more
    return len(value)


def strlen(store: Store, key: bytes) -> Reply:
    return len(_text(store, key) or b"")


def delete(store: Store, *keys: bytes) -> Reply:
    return sum(store.get(key) is not None and store.drop(key) for key in keys)


def exists(store: Store, *keys: bytes) -> Reply:
    return sum(store.get(key) is not None for key in keys)


def keys(store: Store, pattern: bytes) -> Reply:
    return store.keys(pattern.decode("latin-1"))


def scan(store: Store, cursor: bytes, *options: bytes) -> Reply:
    words = [word.upper() for word in options]
    pattern = options[words.index(b"MATCH") + 1] if b"MATCH" in words[:-1] else b"*"
    return ["0", store.keys(pattern.decode("latin-1"))]


def kind(store: Store, key: bytes) -> Reply:
    value = store.get(key)
    names: dict[type, str] = {bytes: "string", list: "list", dict: "hash", set: "set"}
    return Status("none" if value is None else names[type(value)])


def expire(store: Store, key: bytes, seconds: bytes) -> Reply:
    if store.get(key) is None:
        return 0
    store.ends[key] = time.time() + _number(seconds)
    return 1


def pexpire(store: Store, key: bytes, millis: bytes) -> Reply:
    if store.get(key) is None:
        return 0
    store.ends[key] = time.time() + _number(millis) / 1000
    return 1


def pttl(store: Store, key: bytes) -> Reply:
    if store.get(key) is None:
        return -2
    return round((store.ends[key] - time.time()) * 1000) if key in store.ends else -1


def ttl(store: Store, key: bytes) -> Reply:
    left = pttl(store, key)
    return left if not isinstance(left, int) or left < 0 else round(left / 1000)


def persist(store: Store, key: bytes) -> Reply:
    return int(store.get(key) is not None and store.ends.pop(key, None) is not None)


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────


def lpush(store: Store, key: bytes, *values: bytes) -> Reply:
    found = _list(store, key, make=True)
    found[:0] = reversed(values)
    return len(found)


def rpush(store: Store, key: bytes, *values: bytes) -> Reply:
    found = _list(store, key, make=True)
    found += values
    return len(found)


def lpop(store: Store, key: bytes) -> Reply:
    found = _list(store, key)
    value = found.pop(0) if found else None
    _tidy(store, key)
    return value


def rpop(store: Store, key: bytes) -> Reply:
    found = _list(store, key)
    value = found.pop() if found else None
    _tidy(store, key)
    return value


def lrange(store: Store, key: bytes, first: bytes, last: bytes) -> Reply:
    found, start, end = _list(store, key), _number(first), _number(last)
    start = max(start + len(found), 0) if start < 0 else start
    end = end + len(found) if end < 0 else end
    return found[start:end + 1]


def llen(store: Store, key: bytes) -> Reply:
    return len(_list(store, key))


def ltrim(store: Store, key: bytes, first: bytes, last: bytes) -> Reply:
    kept = lrange(store, key, first, last)
    assert isinstance(kept, list)
    if _list(store, key):
        store.values[key] = kept
        _tidy(store, key)
    return OK


# ── hashes and sets ──────────────────────────────────────────────────────────────────────────────────────────


def hset(store: Store, key: bytes, *pairs: bytes) -> Reply:
    if not pairs or len(pairs) % 2:
        raise Wrong("ERR wrong number of arguments for 'hset' command")
    found = _hash(store, key, make=True)
    before = len(found)
    found.update(zip(pairs[::2], pairs[1::2], strict=True))
    return len(found) - before


def hget(store: Store, key: bytes, name: bytes) -> Reply:
    return _hash(store, key).get(name)


def hgetall(store: Store, key: bytes) -> Reply:
    return [part for pair in _hash(store, key).items() for part in pair]


def hdel(store: Store, key: bytes, *names: bytes) -> Reply:
    found = _hash(store, key)
    count = sum(found.pop(name, None) is not None for name in names)
    _tidy(store, key)
    return count


def hincrby(store: Store, key: bytes, name: bytes, by: bytes) -> Reply:
    found = _hash(store, key, make=True)
    value = _number(found.get(name, b"0")) + _number(by)
    found[name] = str(value).encode()
    return value


def hlen(store: Store, key: bytes) -> Reply:
    return len(_hash(store, key))


def sadd(store: Store, key: bytes, *members: bytes) -> Reply:
    found = _set(store, key, make=True)
    before = len(found)
    found.update(members)
    return len(found) - before


def srem(store: Store, key: bytes, *members: bytes) -> Reply:
    found = _set(store, key)
    before = len(found)
    found.difference_update(members)
    _tidy(store, key)
    return before - len(found)


def smembers(store: Store, key: bytes) -> Reply:
    return sorted(_set(store, key))


def sismember(store: Store, key: bytes, member: bytes) -> Reply:
    return int(member in _set(store, key))


def scard(store: Store, key: bytes) -> Reply:
    return len(_set(store, key))


_NAMED: tuple[Any, ...] = (
    ping, echo, select, info, dbsize, flushall, command, client, config, get, setnx, setex, mget, mset, incr, incrby,
    decr, decrby, append, strlen, exists, keys, scan, expire, pexpire, ttl, pttl, persist, lpush, rpush, lpop, rpop,
    lrange, llen, ltrim, hset, hget, hgetall, hdel, hincrby, hlen, sadd, srem, smembers, sismember, scard)
COMMANDS: dict[str, Any] = {
    **{function.__name__.upper(): function for function in _NAMED},
    "SET": set_, "DEL": delete, "UNLINK": delete, "TYPE": kind, "TIME": now, "QUIT": quit_, "FLUSHDB": flushall,
    "HMSET": hset,
}
