"""How addresses and CIDRs may be written, and what is said of those that may not."""

from __future__ import annotations

import pytest

from kubelab.units import addresses as rules

NO_ADDRESS, NO_CIDR = rules.NO_ADDRESS, rules.NO_CIDR


@pytest.mark.parametrize(("text", "faults"), [
    ("10.1.2.3", []), ("::1", []), ("FE80:0:0::1", []),
    ("x", [NO_ADDRESS]), ("", [NO_ADDRESS]), ("300.1.2.3", [NO_ADDRESS]), ("fe80::1%eth0", [NO_ADDRESS]),
    ("010.1.2.3", ["must not have leading 0s"]), ("10.0.0.00", ["must not have leading 0s"]),
    ("::ffff:1.2.3.4", ["must not be an IPv4-mapped IPv6 address"]),
])
def test_an_address_is_written_so_that_everybody_reads_the_same(text: str, faults: list[str]) -> None:
    """What one parser takes and another does not is refused."""
    assert [e.message.partition(f'"{text}": ')[2] for e in rules.ip_address("ip", text)] == faults


@pytest.mark.parametrize(("text", "faults"), [
    ("10.0.0.0/8", []), ("2001:db8::/64", []), ("0.0.0.0/0", []),
    ("10.0.0.0", [NO_CIDR]), ("10.0.0.0/33", [NO_CIDR]), ("10.0.0.0/255.0.0.0", [NO_CIDR]), ("10.0.0.0/", [NO_CIDR]),
    ("10.0.0.0/08", ["must not have leading 0s in IP or prefix length"]),
    ("010.0.0.0/8", ["must not have leading 0s in IP or prefix length"]),
    ("::ffff:10.0.0.0/104", ["must not have an IPv4-mapped IPv6 address"]),
    ("10.0.0.1/8", ["must not have bits set beyond the prefix length"]),
])
def test_a_cidr_names_a_network(text: str, faults: list[str]) -> None:
    """A host in it, or a mask that is no length, is none."""
    assert [e.message.partition(f'"{text}": ')[2] for e in rules.cidr("cidr", text)] == faults


def test_some_fields_take_one_way_of_writing_alone() -> None:
    """An address that names an object has one name."""
    assert [str(e) for e in rules.ip_address("f", "2001:DB8::1", canonical=True)] == [
        'f: Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")']
    assert [str(e) for e in rules.cidr("f", "2001:DB8::/64", canonical=True)] == [
        'f: Invalid value: "2001:DB8::/64": must be in canonical form ("2001:db8::/64")']
    assert [*rules.ip_address("f", "10.0.0.1", canonical=True), *rules.cidr("f", "10.0.0.0/8", canonical=True)] == []


def test_an_endpoint_is_no_special_address_but_may_be_a_process() -> None:
    """A pod that is a process has a loopback address, which is as good as any."""
    def words(text: str) -> list[str]:
        return [e.message for e in rules.special_ip("ip", text)]

    assert words("127.64.16.2") == words("10.1.2.3") == []
    assert words("0.0.0.0") == ['Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)']
    assert "loopback" in words("127.0.0.1")[0] and "link-local" in words("fe80::1")[0] and words("x")


@pytest.mark.parametrize(("text", "warned"), [
    ("10.1.2.3", []), ("x", []),
    ("010.1.2.3", ['f: non-standard IP address "010.1.2.3" will be considered invalid in a future Kubernetes release: '
                   'use "10.1.2.3"']),
    ("2001:DB8::1", ['f: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")']),
])
def test_an_uncommon_address_is_warned_of(text: str, warned: list[str]) -> None:
    """It is told how to write it."""
    assert list(rules.ip_warnings("f", text)) == warned


@pytest.mark.parametrize(("text", "warned"), [
    ("10.0.0.0/8", []), ("x", []),
    ("10.0.0.1/8", ['f: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or '
                    '"10.0.0.1/32"?)']),
    ("10.0.0.0/08", ['f: non-standard CIDR value "10.0.0.0/08" will be considered invalid in a future Kubernetes '
                     'release: use "10.0.0.0/8"']),
    ("2001:DB8::/64", ['f: IPv6 CIDR value "2001:DB8::/64" should be in RFC 5952 canonical format ("2001:db8::/64")']),
])
def test_an_uncommon_cidr_is_warned_of(text: str, warned: list[str]) -> None:
    """So is one that says more than it means."""
    assert list(rules.cidr_warnings("f", text)) == warned
