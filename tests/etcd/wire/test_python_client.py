"""A learner's own etcd client from PyPI, against our etcd."""

from __future__ import annotations

import asyncio
import sys

from .conftest import Served

PROGRAM = """
import asyncio, sys
import etcd3aio

async def main():
    async with etcd3aio.Etcd3Client([sys.argv[1]]) as client:
        await client.kv.put("greeting", "hello")
        found = await client.kv.get("greeting")
        async with client.lock("mine", ttl=5):
            print(found.kvs[0].value.decode(), found.header.revision)

asyncio.run(main())
"""


async def test_etcd3aio_puts_gets_and_locks(served: Served) -> None:
    """The package whose descriptors we read is a client, too: it works unchanged."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, served.address,
                                                   stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert out == b"hello 2\n", err.decode()
