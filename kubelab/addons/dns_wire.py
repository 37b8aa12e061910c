"""DNS messages: from the bytes of a question to those of its answer, by way of dnslib.

Invariant: whatever bytes come, the outcome is an answer or None (not worth one), never an exception.
Models:    RFC 1035, 2308 (the SOA of a negative answer), 6891 (EDNS: the size a client can take)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dnslib

from kubelab.addons.dns_zone import Record

dns: Any = dnslib  # it has no types

TTL_S = 30
"""What the Corefile that kubeadm ships says; CoreDNS alone would say 5."""
UDP_BYTES = 512


@dataclass(frozen=True, slots=True)
class Question:
    name: str  # lower case, no dot at its end
    type: str
    record: Any  # the DNSRecord

    @property
    def limit_bytes(self) -> int:
        """How long an answer over UDP may be."""
        sizes = [rr.rclass for rr in self.record.ar if rr.rtype == dns.QTYPE.OPT]
        return max(UDP_BYTES, min(sizes[0], 4096)) if sizes else UDP_BYTES


def parse(data: bytes) -> Question | None:
    """Read a query; None for bytes that are none."""
    try:
        record = dns.DNSRecord.parse(data)
    except (dns.DNSError, ValueError, IndexError, UnicodeError):
        return None
    if record.header.qr or len(record.questions) != 1:
        return None
    question = record.q
    return Question(str(question.qname).rstrip(".").lower(), str(dns.QTYPE.get(question.qtype)), record)


def refusal(data: bytes) -> bytes | None:
    """Answer FORMERR to what could not be read but has an id."""
    if len(data) < 12 or data[2] & 0x80:
        return None
    header = dns.DNSHeader(id=int.from_bytes(data[:2], "big"), qr=1, rcode=dns.RCODE.FORMERR)
    return bytes(dns.DNSRecord(header).pack())


def encode(question: Question, code: str, records: Sequence[Record] = (), additional: Sequence[Record] = (), *,
           domain: str = "", udp: bool = True) -> bytes:
    """Write the answer; a negative one of our own `domain` carries its SOA. Too long for UDP is marked truncated."""
    reply = question.record.reply(ra=1, aa=1 if domain else 0)
    reply.header.rcode = getattr(dns.RCODE, code)
    for record in records:
        reply.add_answer(_rr(record))
    if domain and not records:
        reply.add_auth(_soa(domain))
    for record in additional:
        reply.add_ar(_rr(record))
    if any(rr.rtype == dns.QTYPE.OPT for rr in question.record.ar):
        reply.add_ar(dns.EDNS0(udp_len=4096))
    data = bytes(reply.pack())
    if udp and len(data) > question.limit_bytes:
        short = question.record.reply(ra=1, aa=1)
        short.header.tc = 1
        return bytes(short.pack())
    return data


def _rr(record: Record) -> Any:
    if record.type == "SRV":
        priority, weight, port, target = record.data.split(" ")
        data = dns.SRV(int(priority), int(weight), int(port), target)
    else:
        data = getattr(dns, record.type)(record.data)  # A, CNAME, NS, PTR, TXT
    return dns.RR(record.name, getattr(dns.QTYPE, record.type), dns.CLASS.IN, TTL_S, data)


def _soa(domain: str) -> Any:
    return dns.RR(domain, dns.QTYPE.SOA, dns.CLASS.IN, TTL_S, dns.SOA(f"ns.dns.{domain}", f"hostmaster.{domain}",
                                                     (1, 7200, 1800, 86400, TTL_S)))


def query(name: str, type_: str, number: int) -> bytes:
    """Write a question."""
    record = dns.DNSRecord.question(name, type_)
    record.header.id = number
    return bytes(record.pack())


def addresses(data: bytes) -> tuple[str, list[str]]:
    """Return the code of an answer (NOERROR, NXDOMAIN, ...) and the IPv4 addresses in it. Raises: dns.DNSError."""
    record = dns.DNSRecord.parse(data)
    found = [str(rr.rdata) for rr in record.rr if rr.rtype == dns.QTYPE.A]
    return str(dns.RCODE.get(record.header.rcode)), found
