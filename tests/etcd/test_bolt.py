"""bbolt's file format."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.control_plane.etcd import bolt

ENTRIES = st.dictionaries(st.binary(min_size=1, max_size=200), st.binary(max_size=9000), max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=20), ENTRIES, max_size=4))
def test_what_was_written_is_read(buckets: dict[bytes, dict[bytes, bytes]]) -> None:
    """Whatever the sizes: empty buckets, values over several pages, keys of any bytes, in order."""
    written = {name: sorted(entries.items()) for name, entries in buckets.items()}
    assert bolt.read(bolt.write(written)) == written


def test_a_tree_of_several_levels() -> None:
    """A hundred thousand entries need branches above branches."""
    entries = [(b"%08d" % i, b"v%d" % i) for i in range(100_000)]
    data = bolt.write({b"key": entries})
    assert len(data) % bolt.PAGE == 0
    assert bolt.read(data) == {b"key": entries}


def test_damaged_files_are_refused() -> None:
    """Cut off, mutated, or other bytes: an answer or NotBolt, and no endless walk."""
    data = bolt.write({b"key": [(b"%04d" % i, b"v" * 20) for i in range(2000)], b"meta": [(b"a", b"b")]})
    random_ = random.Random(3)
    for _ in range(300):
        mutated = bytearray(data)
        for _ in range(random_.randint(1, 8)):
            mutated[random_.randrange(len(mutated))] = random_.randrange(256)
        try:
            bolt.read(bytes(mutated[:random_.choice((None, random_.randrange(len(data))))]))
        except bolt.NotBolt:
            continue
    for other in (b"", b"hello" * 5000, bytes(20_000)):
        with pytest.raises(bolt.NotBolt, match="no bbolt meta page"):
            bolt.read(other)
