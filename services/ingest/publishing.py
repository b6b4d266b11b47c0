"""From the body of a request to its answer: judge each event, publish what may be, say what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from datalab.runtime.web import Problem
from services.ingest.acceptance import Draft, attributes_of, checked
from services.ingest.answers import Answer, Claim
from services.ingest.body import parse_json
from services.ingest.intake import RETRY_AFTER_S, Intake, Published
from services.ingest.judging import Judging
from services.ingest.metrics import EVENTS
from services.ingest.senders import Sender

BATCH_EVENTS = 5000


class Publishing:
    """Publishes for senders."""

    def __init__(self, judging: Judging, intake: Intake) -> None:
        self._judging, self._intake = judging, intake

    async def one(self, sender: Sender, headers: Mapping[str, str], body: bytes, claim: Claim | None) -> Answer:
        """The answer to a request with one event. Raises Problem for an event that is not taken."""
        (judged,) = await self._judging.judge(sender, [attributes_of(headers, body)], claim)
        if isinstance(judged, Problem):
            raise judged
        (place,) = await self._intake.publish([judged])
        if isinstance(place, Problem):
            raise place
        return Answer(202, to_json({"id": judged.id, "type": judged.type, **place._asdict()}))

    async def batch(self, sender: Sender, entries: Sequence[Any], claim: Claim | None) -> Answer:
        """The answer to a batch: each event is judged and published by itself. Raises Problem if none was taken."""
        judged = await self._judging.judge(sender, entries, claim)
        drafts = [one for one in judged if isinstance(one, Draft)]
        places = iter(await self._intake.publish(drafts))
        results = [_result(index, entries[index], one, places) for index, one in enumerate(judged)]
        refused = [result for result in results if result["status"] != 202]
        EVENTS.labels("refused").inc(sum(result["status"] != 503 for result in refused))
        return _answer(results, refused)


def entries_of(body: bytes) -> list[Any]:
    """The entries of a batch; raises Problem 400, 413 or 422."""
    entries = checked(parse_json(body), body)
    if not isinstance(entries, list):
        raise Problem(422, "Invalid batch", "a batch must be a JSON array of events")
    if len(entries) > BATCH_EVENTS:
        raise Problem(413, "Content Too Large", f"a batch may hold {BATCH_EVENTS} events, this one {len(entries)}")
    return entries


def _answer(results: list[dict[str, Any]], refused: list[dict[str, Any]]) -> Answer:
    """202 if all were accepted, 207 if some were; raises Problem with the status of the first refusal if none was."""
    away = any(result["status"] == 503 for result in refused)
    body: dict[str, Any] = {"accepted": len(results) - len(refused), "refused": len(refused), "results": results}
    if refused and not body["accepted"]:
        status = 503 if away else refused[0]["status"]
        headers = {"Retry-After": str(RETRY_AFTER_S)} if away else None
        raise Problem(status, "No event of the batch was accepted", refused[0]["detail"], headers=headers, **body)
    return Answer(207 if refused else 202, to_json(body), is_final=not away)


def _result(index: int, entry: Any, judged: Draft | Problem, places: Iterator[Published]) -> dict[str, Any]:
    outcome = next(places) if isinstance(judged, Draft) else judged
    if isinstance(judged, Draft) and not isinstance(outcome, Problem):
        topic, partition, offset = outcome
        return {
            "index": index, "status": 202, "id": judged.id, "type": judged.type,
            "topic": topic, "partition": partition, "offset": offset,
        }  # fmt: skip
    assert isinstance(outcome, Problem)
    given = entry.get("id") if isinstance(entry, dict) else None
    about = {"id": given} if isinstance(given, str) else {}
    errors = {"errors": outcome.extra["errors"]} if "errors" in outcome.extra else {}
    return {
        "index": index, "status": outcome.status, **about, "title": outcome.title, "detail": outcome.detail, **errors,
    }  # fmt: skip
