"""bbolt's file format: named buckets of sorted keys, as a B+tree of pages.

    page 0, 1   meta: where the root is (two of them, so that a torn write leaves one; here both say the same)
    page 2      freelist: empty
    page 3 ...  leaf pages, branch pages above them; the root bucket's leaf names the buckets and their root pages

    page   =  id u64 │ flags u16 │ count u16 │ overflow u32 │ elements │ keys and values
    leaf   =  flags u32 │ position u32 │ key size u32 │ value size u32        (position counts from the element itself)
    branch =  position u32 │ key size u32 │ page u64

Invariant: what `write` made `read` gives back; a file that is damaged is refused, whatever its bytes.
Models:    go.etcd.io/bbolt, reading and writing whole files
Left out:  transactions, free pages; a bucket in a bucket
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

PAGE = 4096
_PAGE = struct.Struct("<QHHI")
_LEAF = struct.Struct("<IIII")
_BRANCH = struct.Struct("<IIQ")
_META = struct.Struct("<IIIIQQQQQ")  # magic, version, page size, flags, root, sequence, freelist, pages, transaction
_BUCKET = struct.Struct("<QQ")  # root page, sequence
_SUM = struct.Struct("<Q")
_MAGIC, _VERSION = 0xED0CDAED, 2
_IS_BRANCH, _IS_LEAF, _IS_META, _IS_FREELIST = 0x01, 0x02, 0x04, 0x10
_IS_BUCKET = 0x01

Entry = tuple[bytes, bytes]


class NotBolt(ValueError):
    """The bytes are no bbolt file, or a damaged one."""


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def write(buckets: Mapping[bytes, Sequence[Entry]]) -> bytes:
    """Return a file with these buckets; the entries of each are sorted by key."""
    file = bytearray(3 * PAGE)  # the metas, which are known last, and the freelist
    roots = [(name, _BUCKET.pack(_tree(file, buckets[name], 0), 0)) for name in sorted(buckets)]
    root = _tree(file, roots, _IS_BUCKET)
    for number in (0, 1):
        meta = _META.pack(_MAGIC, _VERSION, PAGE, 0, root, 0, 2, len(file) // PAGE, number)
        page = _PAGE.pack(number, _IS_META, 0, 0) + meta + _SUM.pack(_fnv(meta))
        file[number * PAGE:number * PAGE + len(page)] = page
    _PAGE.pack_into(file, 2 * PAGE, 2, _IS_FREELIST, 0, 0)
    return bytes(file)


def _tree(file: bytearray, entries: Sequence[Entry], flags: int) -> int:
    """Append the pages of one bucket, leaves first; return the number of its root."""
    level: list[tuple[bytes, int]] = []  # the first key of each page, and its number
    for chunk in _chunks(entries):
        elements, at = [], len(chunk) * _LEAF.size
        for key, value in chunk:
            elements.append(_LEAF.pack(flags, at, len(key), len(value)))
            at += len(key) + len(value) - _LEAF.size
        level.append((chunk[0][0] if chunk else b"", _append(file, _IS_LEAF, elements, map(b"".join, chunk))))
    while len(level) > 1:
        children, level, below = level, [], iter(level)
        for chunk in _chunks([(key, b"") for key, _ in children]):
            elements, at = [], len(chunk) * _BRANCH.size
            for key, _ in chunk:
                elements.append(_BRANCH.pack(at, len(key), next(below)[1]))
                at += len(key) - _BRANCH.size
            level.append((chunk[0][0], _append(file, _IS_BRANCH, elements, (key for key, _ in chunk))))
    return level[0][1]


def _chunks(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield as many entries as fit a page, but two where there are two: a branch of one leads nowhere."""
    begin, size = 0, _PAGE.size
    for at, (key, value) in enumerate(entries):
        more = _LEAF.size + len(key) + len(value)
        if size + more > PAGE and at - begin >= 2:
            yield entries[begin:at]
            begin, size = at, _PAGE.size
        size += more
    yield entries[begin:]


def _append(file: bytearray, kind: int, elements: Sequence[bytes], data: Iterable[bytes]) -> int:
    """Append a page of elements and what they point at, longer than a page if need be; return its number."""
    number = len(file) // PAGE
    body = b"".join((*elements, *data))
    overflow = -(-(_PAGE.size + len(body)) // PAGE) - 1
    file += _PAGE.pack(number, kind, len(elements), overflow) + body
    file += bytes(-len(file) % PAGE)
    return number


def _fnv(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash."""
    hashed = 0xCBF29CE484222325
    for byte in data:
        hashed = (hashed ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return hashed


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def read(data: bytes) -> dict[bytes, list[Entry]]:
    """Return the buckets of a file with their entries in order. Raises NotBolt."""
    try:
        page_size, root = _newest_meta(data)
        found: dict[bytes, list[Entry]] = {}
        seen: set[int] = set()
        for name, value, flags in _walk(data, page_size, root, seen):
            if flags & _IS_BUCKET:
                page = _BUCKET.unpack_from(value)[0]
                entries = _walk(data, page_size, page, seen) if page else _elements(value[_BUCKET.size:])
                found[name] = [(key, value) for key, value, _ in entries]
    except (struct.error, RecursionError) as error:
        raise NotBolt("a page is not whole") from error
    return found


def _newest_meta(data: bytes) -> tuple[int, int]:
    """Return (page size, root page) of the meta with the higher transaction that is whole."""
    best = (-1, 0, 0)
    for at in {0, *(1 << power for power in range(9, 17))}:  # the second meta stands a page after the first
        if len(data) < at + _PAGE.size + _META.size + _SUM.size:
            continue
        meta = data[at + _PAGE.size:at + _PAGE.size + _META.size]
        magic, version, page_size, _, root, _, _, _, transaction = _META.unpack(meta)
        whole = (magic, version) == (_MAGIC, _VERSION) and at in (0, page_size)
        if whole and _SUM.unpack_from(data, at + _PAGE.size + _META.size)[0] == _fnv(meta):
            best = max(best, (transaction, page_size, root))
    if best[0] < 0:
        raise NotBolt("it has no bbolt meta page")
    return best[1], best[2]


def _walk(data: bytes, page_size: int, number: int, seen: set[int]) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield (key, value, flags) of every leaf below a page, in order."""
    begin = number * page_size
    if number in seen:
        raise NotBolt("its pages lead in a circle")
    seen.add(number)
    _, kind, count, overflow = _PAGE.unpack_from(data, begin)
    page = data[begin:begin + (overflow + 1) * page_size]
    if kind & _IS_LEAF:
        yield from _elements(page)
    elif kind & _IS_BRANCH:
        for i in range(count):
            yield from _walk(data, page_size, _BRANCH.unpack_from(page, _PAGE.size + i * _BRANCH.size)[2], seen)
    else:
        raise NotBolt("a page is neither leaf nor branch")


def _elements(page: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    count = _PAGE.unpack_from(page)[2]
    for i in range(count):
        element = _PAGE.size + i * _LEAF.size
        flags, at, key_size, value_size = _LEAF.unpack_from(page, element)
        middle = element + at + key_size
        if middle + value_size > len(page):
            raise NotBolt("a value goes on beyond its page")
        yield page[element + at:middle], page[middle:middle + value_size], flags
