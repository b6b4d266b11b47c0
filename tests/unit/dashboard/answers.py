"""What the services answer, as their READMEs describe it, and a dashboard that gets it without a socket."""

from __future__ import annotations

import json
from typing import Any

import httpx

Answers = dict[str, Any]

AT = "2026-03-02T12:00:00Z"
HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) **bold** `tick` :red[r] $x$ =1+1"

FLOW = {
    "flow": "medallion-etl", "deployment": "medallion-etl/medallion-etl-daily", "last_run_id": "run-1",
    "last_state": "Completed", "last_state_type": "COMPLETED", "last_state_at": AT, "running_now": 2, "runs_hour": 1,
    "runs_day": 4, "runs_week": 20, "success_rate": 0.95,
    "duration": {"mean_s": 9.1, "p50_s": 8.7, "p90_s": 12.0, "p95_s": 13.1, "p99_s": 14.0},
    "cpu": {"mean_s": 4.0, "max_s": 6.2}, "memory_peak": {"mean_bytes": 210_000_000.0, "max_bytes": 260_000_000.0},
}  # fmt: skip
NEW_FLOW = {
    **FLOW, "flow": "adhoc", "deployment": None, "last_state": "Failed", "last_state_type": "FAILED",
    "success_rate": None, "duration": dict.fromkeys(FLOW["duration"]), "cpu": {"mean_s": None, "max_s": None},
    "memory_peak": {"mean_bytes": None, "max_bytes": None},
}  # fmt: skip
ALERT = {
    "episode": "e1", "fingerprint": "f1", "rule": "data-quality", "severity": "error", "status": "firing",
    "summary": "Quality of stocks", "description": "", "labels": {"dataset": "stocks"},
    "annotations": {"event_id": "event-1", "run_url": "http://prefect/runs/flow-run/run-1"}, "starts_at": AT,
    "ends_at": None,
}  # fmt: skip
RUN = {
    "run_id": "run-1", "run_name": "amber-otter", "flow": "medallion-etl",
    "deployment": "medallion-etl/medallion-etl-daily", "state_type": "COMPLETED", "state_name": "Completed",
    "message": None, "occurred_at": AT, "start_time": AT, "end_time": AT, "duration_s": 8.7, "cpu_seconds": 4.1,
    "memory_peak_bytes": 214_000_000.0, "limit_s": None, "event_id": "event-1", "correlation_id": "event-0",
}  # fmt: skip
RULE = {
    "rule": "flow-duration", "severity": "warning", "enabled": True, "on": ["lab.run.overrun.v1"], "resolved_by": [],
    "labels": ["flow"], "runbook": "", "thresholds": ["max_duration_s"], "updated_at": None,
}  # fmt: skip
THRESHOLD = {
    "rule": "flow-duration", "name": "max_duration_s", "unit": "s", "description": "How long a run may take",
    "must_be": "> 0 and <= 31536000", "default": 3600.0, "value": 1800.0, "default_overrides": {},
    "overrides": {"monitoring/monitoring-5min": 240.0}, "enabled": True, "updated_at": AT, "etag": '"2.0"',
}  # fmt: skip
KNOWN = {
    "known_deployments": ["medallion-etl/medallion-etl-daily", "monitoring/monitoring-5min"],
    "known_flows": ["adhoc", "medallion-etl", "monitoring"],
}
TRIGGER = {
    "id": "t1", "rule": "stocks-file-arrived", "event_id": "event-0", "event_type": "lab.file.arrived.v1",
    "correlation_id": "event-0", "deployment": "medallion-etl/medallion-etl-daily", "status": "created",
    "reason": None, "flow_run_id": "run-1", "run_state": "COMPLETED", "run_url": "http://prefect/runs/flow-run/run-1",
    "created_at": AT,
    "states": [{"state_name": "Running", "occurred_at": AT},
               {"state_name": "Completed", "occurred_at": "2026-03-02T12:00:09Z"}],
}  # fmt: skip
DELIVERY = {
    "id": "d1", "event_id": "event-2", "channel": "slack", "target": "team", "status": "dead",
    "reason": "404 no such hook", "attempts": 8, "status_code": 404, "created_at": "2026-03-02T12:00:12Z",
    "finished_at": None,
}  # fmt: skip


def usual() -> Answers:
    """Paths with their answers, of a lab in which all is well."""
    return {
        "/v1/summary": {
            "at": AT, "runs": {"hour": 3, "day": 1234, "week": 2800}, "running_now": 1, "success_rate": 0.985,
            "alerts": {"open": {"critical": 1, "error": 2, "warning": 0, "info": 0},
                       "fired": {"hour": 1, "day": 5, "week": 9}},
            "services": {"ok": 7, "degraded": 1},
        },
        "/v1/flows": {"flows": [FLOW, NEW_FLOW]},
        "/v1/alerts": {"alerts": [ALERT], "counts": {"firing": 1, "resolved": 0}, "next_page_token": None},
        "/v1/runs/histogram": {
            "period": "day", "bucket_s": 3600, "since": "2026-03-01T12:30:00Z", "until": "2026-03-02T12:30:00Z",
            "starts": ["2026-03-01T12:00:00Z"],
            "counts": [{"start": "2026-03-01T12:00:00Z", "flow": "medallion-etl", "deployment": None,
                        "state_type": "FAILED", "runs": 2}],
        },
        "/v1/runs": {"runs": [RUN], "next_page_token": None},
        "/v1/rules": {"rules": [RULE]},
        "/v1/thresholds": {"thresholds": [THRESHOLD], **KNOWN},
        "/v1/triggers": {"triggers": [TRIGGER], "next_page_token": None},
        "/v1/deliveries": {"deliveries": [], "next_page_token": None},
        "/v1/services": {"services": [
            {"service": "mlflow", "status": "degraded", "last_seen": AT, "cpu_seconds": 12.5, "cpu_share": 0.02,
             "memory_bytes": 180e6, "failing": [{"check": "write", "reason": "no answer", "since": AT}]}]},
        "/v1/topics": {"topics": [
            {"topic": "lab.runs", "records": 812.0, "size_bytes": 2_500_000.0, "measured_at": AT,
             "groups": [{"group": "bridge", "lag": 0.0, "measured_at": AT},
                        {"group": "monitor", "lag": 3.0, "measured_at": AT}]}]},
        "/v1/datasets": {"datasets": [
            {"dataset": "silver/stocks", "layer": "silver", "table": "stocks", "rows": 12154.0, "files": 3.0,
             "size_bytes": 401223.0, "age_seconds": 61.0, "updated_at": AT, "measured_at": AT}]},
    }  # fmt: skip


class Services:
    """Stands in for the services: answers by path, remembers what it was asked. A path without an answer is 404."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[httpx.Request] = []
        self.away: set[int] = set()

    def client(self, _: float = 0) -> httpx.Client:
        """A client that reaches only this."""
        return httpx.Client(transport=httpx.MockTransport(self._answer))

    def bodies(self, method: str) -> list[Any]:
        """The JSON of every request of this kind."""
        return [json.loads(request.content) for request in self.asked if request.method == method]

    def queries(self, path: str) -> list[dict[str, str]]:
        """The parameters of every GET of this path."""
        return [dict(r.url.params) for r in self.asked if r.url.path == path and r.method == "GET"]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.port in self.away:
            raise httpx.ConnectError("refused", request=request)
        answer = self.answers.get(f"{request.method} {request.url.path}", self.answers.get(request.url.path))
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(404 if answer is None else 200, json=answer or {"detail": "not found"})
