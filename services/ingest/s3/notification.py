"""What S3 stores write about their buckets: one JSON shape, with each store's ways of writing keys. Pure.

A notice only says where to look. What is there, which version and whether it is new, is asked of the store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from schemas.codec import CodecError

_TEST = "s3:TestEvent"
# They write the key as an HTML form would: '+' for a space, %XX for the rest; some of them '/' as %2F.
_ENCODING = frozenset(("aws:s3", "minio:s3", "rustfs:s3"))
# versitygw calls itself aws:s3, but writes the key as it is. Its ARNs are paths, in which no bucket's name can begin.
_RAW_ARN = "arn:aws:s3:::/"
# What an encoder never leaves: spaces, letters beyond ASCII, per cent signs that begin no code.
_NEVER_ENCODED = re.compile(r"[^!-~]|%(?![0-9A-Fa-f]{2})")
_KINDS = ("ObjectCreated:", "ObjectRemoved:", "LifecycleExpiration:", "ObjectRestore:Completed")

Text = Annotated[str, StringConstraints(min_length=1, max_length=8192)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _Bucket(_Part):
    name: Text
    arn: str = ""


class _Object(_Part):
    key: Text


class _S3(_Part):
    bucket: _Bucket
    object: _Object


class _Record(_Part):
    event_source: str = ""
    event_name: Text
    s3: _S3


class Notice(BaseModel):
    """Something was made of an object, or it was removed. `keys` has more than one entry if the store does not say how
    it writes them: the one that is there is meant."""

    model_config = ConfigDict(frozen=True)

    bucket: str
    keys: tuple[str, ...]


def read_notification(
    _key: bytes | None, value: bytes | None, _headers: Sequence[tuple[str, bytes]] = ()
) -> list[Notice]:
    """The notices of one Kafka record, one per object, in its order; none for a test. Raises CodecError."""
    message = _parsed(value)
    if message.get("Event") == _TEST:
        return []
    records = message.get("Records")
    if not isinstance(records, list):
        raise CodecError("Records: is missing; it is no notification of an S3 store")
    notices: dict[Notice, None] = {}
    for number, record in enumerate(records):
        try:
            notice = _notice(_Record.model_validate(record))
        except ValidationError as error:
            faults = error.errors(include_url=False)
            raise CodecError(
                *(f"Records.{number}.{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults)
            ) from error
        if notice is not None:
            notices[notice] = None
    return list(notices)


def object_keys(key: str, source: str, arn: str) -> tuple[str, ...]:
    """The key as the store has it, from how a notification writes it; more than one if that cannot be told."""
    if arn.startswith(_RAW_ARN) or _NEVER_ENCODED.search(key):
        return (key,)
    try:
        decoded = unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        return (key,)
    return (decoded,) if source in _ENCODING or decoded == key else (decoded, key)


def _notice(record: _Record) -> Notice | None:
    if not record.event_name.removeprefix("s3:").startswith(_KINDS):
        return None
    bucket = record.s3.bucket
    keys = object_keys(record.s3.object.key, record.event_source, bucket.arn)
    return Notice(bucket=bucket.name, keys=keys)


def _parsed(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise CodecError("the record has no value (a tombstone is no notification)")
    try:
        message = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise CodecError(f"notification: not JSON: {error}") from error
    if not isinstance(message, dict):
        raise CodecError("notification: must be a JSON object")
    return message
