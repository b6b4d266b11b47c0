"""How many bytes topics take on the brokers' disks, by Kafka's DescribeLogDirs, which aiokafka does not have.

The layout of request and answer is that of version 1 in Kafka's own `DescribeLogDirsRequest.json`; Kafka 2.0 and later
understand it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Int64, Schema, String

from datalab.runtime.logs import get_logger

log = get_logger(__name__)
_TEXT = String("utf-8")


class _LogDirs(Response):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY, API_VERSION = 35, 1
    _PARTITION = ("partition", Int32), ("size", Int64), ("offset_lag", Int64), ("is_future", Boolean)
    _TOPIC = ("topic", _TEXT), ("partitions", Array(*_PARTITION))
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("dirs", Array(("error_code", Int16), ("path", _TEXT), ("topics", Array(*_TOPIC)))),
    )


class _Describe(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY, API_VERSION = 35, 1
    RESPONSE_TYPE = _LogDirs
    # None for all topics, which aiokafka writes as an array of -1 entries, as Kafka wants it.
    SCHEMA = Schema(("topics", Array(("topic", _TEXT), ("partitions", Array(Int32)))))


class _DescribeLogDirs(Request[_Describe]):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = 35

    def build(self, request_struct_class: type[_Describe]) -> _Describe:
        return request_struct_class(None)


async def log_sizes(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Bytes of each topic, however many copies of it there are; of the largest copy, where one is behind. Empty if a
    broker does not tell, be it that this user must not ask."""
    brokers = [broker.nodeId for broker in admin._client.cluster.brokers()]
    try:
        answers = await asyncio.gather(*(admin._send_request(_DescribeLogDirs(), broker) for broker in brokers))
    except (KafkaError, NotImplementedError) as error:  # the latter: no version that both understand
        log.info("topics.unsized", reason=f"{type(error).__name__}: {error}")
        return {}
    return sizes_of([answer.to_object() for answer in answers])


def sizes_of(answers: list[Mapping[str, Any]]) -> dict[str, int]:
    """By topic, out of the answers of all brokers. Pure."""
    largest: dict[tuple[str, int], int] = {}
    for directory in (directory for answer in answers for directory in answer["dirs"]):
        for topic in directory["topics"]:
            for partition in topic["partitions"]:
                if not partition["is_future"]:  # a copy that is being moved to another disk
                    place = topic["topic"], partition["partition"]
                    largest[place] = max(largest.get(place, 0), partition["size"])
    sizes: Counter[str] = Counter()
    for (name, _), size in largest.items():
        sizes[name] += size
    return dict(sizes)
