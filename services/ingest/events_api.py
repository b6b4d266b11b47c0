"""`POST /v1/events`: CloudEvents over HTTP in structured, batch and binary mode."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from datalab.runtime.web import Problem
from schemas.codec import BATCH
from services.ingest.acceptance import EVENT_LIMIT, media_type
from services.ingest.answers import Answer, Answers, Claim, fingerprint, key_of
from services.ingest.body import read_body
from services.ingest.budget import Budget
from services.ingest.events_openapi import POST_EVENTS
from services.ingest.intake import RETRY_AFTER_S
from services.ingest.metrics import EVENTS
from services.ingest.publishing import Publishing, entries_of
from services.ingest.senders import Gate, Sender

BATCH_LIMIT = 8 * 1024 * 1024


class EventsApi:
    """What answers a request for publishing. `timeout_s` is how long a body may take."""

    def __init__(self, gate: Gate, publishing: Publishing, answers: Answers, budget: Budget, timeout_s: float) -> None:
        self._gate, self._publishing, self._answers = gate, publishing, answers
        self._budget, self._timeout_s = budget, timeout_s

    async def answer(self, request: Request) -> Response:
        """The answer; raises Problem for a request of which nothing was published."""
        try:
            sender = await self._gate.admit(request)
            with self._budget.hold() as held:
                limit = BATCH_LIMIT if media_type(request.headers) == BATCH else EVENT_LIMIT
                body = await read_body(request, limit, self._timeout_s, held)
                answer, repeated = await self._once(request, sender, body)
        except Problem as problem:
            # Batches count their own events; what Kafka did not take counts as unavailable.
            if problem.status < 500 and "results" not in problem.extra:
                EVENTS.labels("refused").inc()
            raise
        headers = {"Idempotency-Replayed": "true"} if repeated else {}
        if not answer.is_final:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return Response(answer.body, answer.status, headers, media_type="application/json")

    async def _once(self, request: Request, sender: Sender, body: bytes) -> tuple[Answer, bool]:
        key = key_of(request)
        if key is None:
            return await self._publish(request, sender, body, None), False

        async def publish(claim: Claim) -> Answer:
            return await self._publish(request, sender, body, claim)

        return await self._answers.once(sender.name, key, fingerprint(request, body), publish)

    async def _publish(self, request: Request, sender: Sender, body: bytes, claim: Claim | None) -> Answer:
        if media_type(request.headers) != BATCH:
            return await self._publishing.one(sender, request.headers, body, claim)
        entries = entries_of(body)
        self._gate.charge(sender, request, len(entries))
        return await self._publishing.batch(sender, entries, claim)


def events_router(events: EventsApi) -> APIRouter:
    """The router of this module."""
    router = APIRouter(tags=["events"])

    @router.post("/v1/events", summary="Publish one event, or a batch", response_model=None, **POST_EVENTS)
    async def post_events(request: Request) -> Response:
        return await events.answer(request)

    return router
