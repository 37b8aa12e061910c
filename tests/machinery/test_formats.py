"""Formats of strings: which texts a real API server 1.36 took, and which it refused."""

from __future__ import annotations

import pytest

from kubelab.machinery.formats import has_format, is_known

TAKEN = {
    "date-time": ["2020-01-02T03:04:05Z", "2020-01-02T03:04:05.123Z", "2020-01-02T03:04:05+01:00",
                  "2020-01-02t03:04:05z"],
    "date": ["2020-01-02"], "duration": ["1s", "1h30m", "1 day", "3 ms", "P1D", "1w", "-1s", "1.5h", "0", "1µs"],
    "byte": ["aGk="], "ipv4": ["1.2.3.4", "01.2.3.4"], "ipv6": ["::1", "::ffff:1.2.3.4"],
    "cidr": ["1.2.3.0/24", "1.2.3.4/24", "::/0"], "mac": ["00:11:22:33:44:55", "0011.2233.4455"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "123E4567e89b12d3a456426614174000"],
    "uuid4": ["16fd2706-8baf-433b-82eb-8c7fada847da"], "uri": ["http://x", "/a", "a:b", "urn:x:y", "//h/p"],
    "email": ["a@b.c", "a@b", '"a" <a@b.c>'], "hostname": ["a.bc", "localhost"], "hexcolor": ["#fff", "fff", "#ffffff"],
    "rgbcolor": ["rgb(1,2,3)", "rgb(1, 2, 3)"], "creditcard": ["4111111111111111", "4111-1111-1111-1111"],
    "ssn": ["123-45-6789"], "isbn": ["0321751043", "978-0321751041"], "isbn13": ["978-0321751041"], "password": [""],
    "k8s-short-name": ["abc"], "k8s-long-name": ["a.b"], "anything": ["x"]}
REFUSED = {
    "date-time": ["2020-01-02", "2020-13-02T03:04:05Z", "2020-02-30T00:00:00Z", "2020-01-02T24:00:00Z", "x", ""],
    "date": ["2020-1-2", "2020-02-30", "20200102", ""],
    "duration": ["x", "", "10"], "byte": ["aGk", "!!", "_-8="],
    "ipv4": ["1.2.3", "::1", "256.1.1.1", ""], "ipv6": ["1.2.3.4", "fe80::1%eth0"],
    "cidr": ["1.2.3.4", "x/3", "1.2.3.4/33"],
    "mac": ["x", "00:11:22:33:44"], "uuid": ["x", "123e4567-e89b-12d3-a456-42661417400g"],
    "uuid4": ["123e4567-e89b-12d3-a456-426614174000"], "uri": ["x", ""], "email": ["x", "a b@c.d", ""],
    "hostname": ["a_b", "-a", "a.b.", ""], "hexcolor": ["#ffff", "red"], "rgbcolor": ["rgb(256,0,0)"],
    "creditcard": ["1234"], "ssn": ["123456789"], "isbn": ["x"], "isbn13": ["0321751043"],
    "k8s-short-name": ["A", "a.b"], "k8s-long-name": ["A"]}


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_what_a_format_takes(name: str) -> None:
    """Each format takes what the real server takes, and nothing that it refuses."""
    assert [text for text in TAKEN[name] if not has_format(name, text)] == []
    assert [text for text in REFUSED.get(name, ()) if has_format(name, text)] == []


def test_a_format_belongs_to_a_type() -> None:
    """A format of numbers means nothing for strings, nor the other way round."""
    assert is_known("int32", "integer") and not is_known("int32", "string") and not is_known("date", "integer")
    assert is_known("date-time", "") and is_known("datetime", "string") and not is_known("date", "object")
