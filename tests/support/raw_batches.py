"""Record batches that aiokafka's producer would not write, and a producer that sends them as they are."""

from __future__ import annotations

import gzip
from typing import Any, Self

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c

NOW_MS = 1_764_000_000_000
_CRC_AT, _ATTRIBUTES_AT, _HEADER_BYTES = 17, 21, 61


class RawName(str):
    """A header name with bytes of its own."""

    __slots__ = ("raw",)

    def __new__(cls, raw: bytes) -> Self:
        made = super().__new__(cls, "x" * len(raw))
        made.raw = raw
        return made

    def encode(self, *_: Any) -> bytes:  # type: ignore[override]
        return self.raw


def batch_of(records: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]]) -> bytes:
    """A batch of (key, value, headers), uncompressed, with offsets from 0 on."""
    builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 2**31 - 1)
    for offset, (key, value, headers) in enumerate(records):
        assert builder.append(offset, NOW_MS + offset, key, value, headers)
    return bytes(builder.build())


def compressed(batch: bytes, codec: int, payload: bytes | None = None) -> bytes:
    """The batch with its payload replaced, by itself in gzip where none is given."""
    body = gzip.compress(batch[_HEADER_BYTES:], 6) if payload is None else payload
    head = bytearray(batch[:_HEADER_BYTES])
    head[_ATTRIBUTES_AT : _ATTRIBUTES_AT + 2] = codec.to_bytes(2, "big")
    return sealed(bytes(head) + body)


def sealed(batch: bytes) -> bytes:
    """The batch with the length and the checksum that it has."""
    out = bytearray(batch)
    out[8:12] = (len(out) - 12).to_bytes(4, "big")
    out[_CRC_AT:_ATTRIBUTES_AT] = calc_crc32c(bytes(out[_ATTRIBUTES_AT:])).to_bytes(4, "big")
    return bytes(out)


async def produce(bootstrap_servers: str, topic: str, batch: bytes, partition: int = 0) -> int:
    """Appends a batch as it is; its first offset."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
    await client.bootstrap()
    try:
        await client._wait_on_metadata(topic)
        node = client.cluster.leader_for_partition(_place(topic, partition))
        request = ProduceRequest(None, -1, 30_000, [(topic, [(partition, batch)])])
        response = await client.send(node, request)
        ((_, ((_, code, offset, *_),)),) = response.topics
        if code:
            raise for_code(code)
        return int(offset)
    finally:
        await client.close()


def _place(topic: str, partition: int) -> Any:
    from aiokafka import TopicPartition

    return TopicPartition(topic, partition)


def repeated(batch: bytes, count: int, codec: int) -> bytes:
    """A batch of one large record, so often, each compressed for itself as gzip allows."""
    assert count <= 64, "an offset of one byte"
    record = bytearray(batch[_HEADER_BYTES:])
    place = next(at for at, byte in enumerate(record) if byte < 0x80) + 3  # after length, attributes and time
    members = []
    for number in range(count):
        record[place] = 2 * number
        members.append(gzip.compress(record, 6))
    head = bytearray(batch[:_HEADER_BYTES])
    head[23:27] = (count - 1).to_bytes(4, "big")
    head[57:61] = count.to_bytes(4, "big")
    return compressed(bytes(head), codec, b"".join(members))
