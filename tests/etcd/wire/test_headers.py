"""Header blocks that are remembered mean what they would mean without."""

from __future__ import annotations

import random

import hpack
import pytest

from kubelab.control_plane.etcd.wire.headers import RememberingDecoder, RememberingEncoder, timeout_s


def test_what_is_remembered_is_what_it_would_be_anew() -> None:
    """Over random headers and tables of changing size, plain and remembering ends understand each other."""
    random_ = random.Random(3)
    pairs = [(hpack.Encoder(), RememberingDecoder(1 << 16)), (RememberingEncoder(), hpack.Decoder())]
    known = [[(b"grpc-status", b"%d" % i), (b"x-%d" % (i % 3), b"v" * i)] for i in range(6)]
    for _ in range(3000):
        headers = random_.choice(known) if random_.random() < 0.95 else [(b"once", random_.randbytes(4).hex().encode())]
        size = random_.choice((0, 100, 4096)) if random_.random() < 0.02 else None
        for encoder, decoder in pairs:
            if size is not None:
                encoder.header_table_size = size
            assert [tuple(header) for header in decoder.decode(encoder.encode(headers), raw=True)] == headers


@pytest.mark.parametrize(("text", "seconds"), [("1S", 1.0), ("20m", 0.02), ("2H", 7200.0), ("99999999n", 0.099999999)])
def test_a_timeout(text: str, seconds: float) -> None:
    """It is a number and a unit."""
    assert timeout_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "1s", "-1S", "1.5S", "999999999S"])
def test_what_is_no_timeout(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError):
        timeout_s(text)
