"""Reading what happened to flow runs: which changed, all their states, and the names that belong to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from pydantic import AwareDatetime, BaseModel, Field

from services.bridge.prefect_events import Change, change_of
from services.bridge.prefect_http import PrefectHttp, PrefectRefusedError

_ACTIVE = ["PENDING", "RUNNING", "CANCELLING", "PAUSED"]
_PAGE = 200


class FlowRun(BaseModel):
    """A flow run as Prefect tells of it; fields that are not needed are left out."""

    id: str
    name: str
    flow_id: str
    deployment_id: str | None = None
    state_id: str | None = None
    state_type: str | None = None
    parameters: dict[str, object] = Field(default_factory=dict)
    tags: list[str] = Field(default_factory=list)
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    total_run_time: float = 0.0
    expected_start_time: AwareDatetime | None = None
    run_count: int | None = None


class State(BaseModel):
    """One state of a run."""

    id: str
    type: str
    name: str
    timestamp: AwareDatetime
    message: str | None = None


class PrefectHistory:
    """Reads runs, states and events. Methods raise PrefectAwayError; what is unknown comes back as nothing."""

    def __init__(self, http: PrefectHttp) -> None:
        self._http = http
        self._flows: dict[str, str] = {}
        self._deployments: dict[str, str] = {}

    async def events_since(self, since: datetime) -> AsyncIterator[list[Change]]:
        """Pages of run-state events that occurred since then, oldest first. Prefect stores them some 5 s late,
        and those it had not stored yet are lost when it is killed."""
        query = {"event": {"prefix": ["prefect.flow-run."]}, "occurred": {"since": since.isoformat()}, "order": "ASC"}
        page = await self._http.post("/events/filter", {"filter": query, "limit": 50})
        while True:
            yield [change for event in page["events"] if (change := change_of(event))]
            if not page.get("next_page"):
                return
            # Only the token: the address is how the server sees itself, perhaps behind a proxy.
            token = parse_qs(urlsplit(page["next_page"]).query)["page-token"][0]
            page = await self._http.get("/events/filter/next", **{"page-token": token})

    async def active(self) -> list[FlowRun]:
        """All runs that are being worked on now."""
        found: list[FlowRun] = []
        query = {"state": {"type": {"any_": _ACTIVE}}}
        while True:
            body = {"flow_runs": query, "limit": _PAGE, "offset": len(found), "sort": "ID_DESC"}
            page = [FlowRun.model_validate(run) for run in await self._http.post("/flow_runs/filter", body)]
            found += page
            if len(page) < _PAGE:
                return found

    async def runs(self, ids: Iterable[str]) -> list[FlowRun]:
        """Those of these runs that exist."""
        wanted, found = list(dict.fromkeys(ids)), []
        for start in range(0, len(wanted), _PAGE):
            query = {"id": {"any_": wanted[start : start + _PAGE]}}
            answer = await self._http.post("/flow_runs/filter", {"flow_runs": query, "limit": _PAGE})
            found += [FlowRun.model_validate(run) for run in answer]
        return found

    async def states(self, run_id: str) -> list[State]:
        """Every state the run ever had, in order."""
        return [State.model_validate(s) for s in await self._http.get("/flow_run_states/", flow_run_id=run_id)]

    async def flow_name(self, run: FlowRun) -> str:
        """The name of the run's flow; its id if the flow is gone."""
        return await self._flow_name(run.flow_id) or run.flow_id

    async def deployment_name(self, run: FlowRun) -> str | None:
        """flow/deployment, or None for a run without one."""
        if run.deployment_id is None:
            return None
        if run.deployment_id not in self._deployments:
            try:
                found = await self._http.get(f"/deployments/{run.deployment_id}")
            except PrefectRefusedError:
                return None
            self._deployments[run.deployment_id] = str(found["name"])
        return f"{await self.flow_name(run)}/{self._deployments[run.deployment_id]}"

    async def _flow_name(self, id_: str) -> str | None:
        if id_ not in self._flows:
            try:
                self._flows[id_] = str((await self._http.get(f"/flows/{id_}"))["name"])
            except PrefectRefusedError:
                return None
        return self._flows[id_]
