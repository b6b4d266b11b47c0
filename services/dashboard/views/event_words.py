"""What an event says, in a few words: the numbers and names of its payload that matter. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.envelope import Event
from services.dashboard.language import Phrases

_Form = Callable[[Mapping[str, Any], Phrases], str]


def says(event: Event, phrases: Phrases) -> str:
    """For a known type what matters, for any other its subject. Payloads may lack anything."""
    form = _FORMS.get(event.type) or _FORMS.get(event.type.rpartition(".")[0].rpartition(".")[0] + ".*")
    try:
        text = form(event.data, phrases) if form else ""
    except (KeyError, TypeError, ValueError, AttributeError):
        text = ""
    return text or event.subject or ""


def _file(data: Mapping[str, Any], phrases: Phrases) -> str:
    return f"{data['name']} · {phrases.size(data['size_bytes'])} · {data['dataset']}"


def _quality(data: Mapping[str, Any], phrases: Phrases) -> str:
    return phrases(
        "says.quality_again" if data.get("replay") else "says.quality",
        dataset=data["dataset"],
        failed=phrases.number(data["rows_failed"]),
        checked=phrases.number(data["rows_checked"]),
    )


def _run(data: Mapping[str, Any], phrases: Phrases) -> str:
    parts = [data["run_name"], phrases.span(data["duration_s"]) if data.get("duration_s") is not None else ""]
    return " · ".join(part for part in (*parts, data.get("message") or "") if part)


def _dataset(data: Mapping[str, Any], phrases: Phrases) -> str:
    rows = phrases("says.rows", count=phrases.number(data["rows_written"]))
    return f"{data['layer']} · {data['table'].rsplit('/', 1)[-1]} · v{data['version']} · {rows}"


def _model(data: Mapping[str, Any], _: Phrases) -> str:
    return " · ".join(str(part) for part in (f"{data['name']} v{data['version']}", data.get("reason")) if part)


def _score(data: Mapping[str, Any], phrases: Phrases) -> str:
    return phrases(
        "says.score",
        entity=data["entity"],
        period=data["period"],
        score=phrases.number(data["score"], 1),
        threshold=phrases.number(data["threshold"], 1),
    )


def _metric(data: Mapping[str, Any], phrases: Phrases) -> str:
    value, unit = float(data["value"]), data["unit"]
    known = {"By": phrases.size, "s": phrases.span, "1": phrases.amount}
    text = known[unit](value) if unit in known else f"{phrases.amount(value)} {unit}"
    return f"{data['of']} · {data['name']} = {text}"


def _notification(data: Mapping[str, Any], phrases: Phrases) -> str:
    end = data.get("reason") or data.get("status_code") or ""
    return " · ".join(str(part) for part in (phrases.name("channel", data["channel"]), data["target"], end) if part)


def _alert(data: Mapping[str, Any], phrases: Phrases) -> str:
    return f"{phrases.name('severity', data['severity'])} · {data['summary']}"


def _service(data: Mapping[str, Any], _: Phrases) -> str:
    return f"{data['service']} · {data['check']} · {data['reason']}"


_FORMS: Mapping[str, _Form] = {
    "lab.file.*": _file,
    "lab.quality.*": _quality,
    "lab.run.*": _run,
    "lab.dataset.*": _dataset,
    "lab.model.*": _model,
    "lab.score.*": _score,
    "lab.metric.*": _metric,
    "lab.notification.*": _notification,
    "lab.alert.*": _alert,
    "lab.service.*": _service,
}
