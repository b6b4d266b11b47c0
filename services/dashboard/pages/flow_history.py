"""Every run that is known: filtered, by pages, and as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import streamlit as st

from services.dashboard.answers.monitor import Flow, Flows, Run, Runs
from services.dashboard.client import RefusedError, Rest, ServiceAwayError
from services.dashboard.pages.site import Site, show_away
from services.dashboard.pages.tables import Column, numbers, table
from services.dashboard.safe import code, one_line
from services.dashboard.views.flow_names import FlowKey
from services.dashboard.views.history import PERIODS, STATES, Export, Filters, Question, ask, to_csv
from services.dashboard.views.tones import tone

_SIZES = (25, 50, 100, 250)
_EXPORT_PAGE = 500
_STATE, _FILE = "history-question", "history-file"


def show(site: Site) -> None:
    """Draw filters, one page of runs, and the buttons below it."""
    look = site.look()
    flows = look.ask("monitor", lambda rest: rest.get("/v1/flows", Flows))
    question = _question(site, _filters(site, flows.flows if flows else []))
    found = look.ask(
        "monitor",
        lambda rest: rest.get(
            "/v1/runs", Runs, page_size=question.size, page_token=question.tokens[-1], **question.wanted
        ),
    )
    show_away(site, look)
    if found is None:
        return
    table(found.runs, columns(site), key="history", nothing=site.words("history.none"))
    with st.container(horizontal=True, vertical_alignment="center"):
        _turn(site, question, found.next_page_token)
        st.button(site.words("history.export"), icon=":material/table:", on_click=_prepare, args=(site, question))
        _offer(site, question)


def _prepare(site: Site, question: Question) -> None:
    """Make the file now, in full, so that what the browser is then offered can no longer fail."""
    try:
        made: bytes | str = export(site, question.wanted)
    except ServiceAwayError as error:
        made = error.reason
    except RefusedError as error:
        made = error.detail
    st.session_state[_FILE] = Export(question, made, f"runs-{site.now():%Y%m%dT%H%M%SZ}.csv")


def _offer(site: Site, question: Question) -> None:
    """The file, as long as the filters are those that it was made with; or why there is none."""
    made = st.session_state.get(_FILE)
    if not isinstance(made, Export) or made.question is not question:
        return
    if isinstance(made.content, str):
        st.warning(site.words("away", service=code("monitor"), reason=code(made.content)), icon=":material/cloud_off:")
        return
    st.download_button(
        site.words("history.download", name=made.name),
        data=made.content,
        file_name=made.name,
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
        type="primary",
        key="history-download",
    )


def _filters(site: Site, flows: Sequence[Flow]) -> Filters:
    words = site.words
    keys = [FlowKey(flow.flow, flow.deployment) for flow in flows]
    by_flow, by_state, by_period, by_size = st.columns([3, 2, 2, 1])

    def choice(place: Any, name: str, options: Sequence[Any], label: Callable[[Any], str], index: int = 0) -> Any:
        with place:
            return st.selectbox(
                words(f"history.{name}"), options, index=index, format_func=label, key=f"history-{name}"
            )

    anything = words("history.any")
    return Filters(
        flow=choice(by_flow, "flow", [None, *keys], lambda key: key.label if key else anything),
        state=choice(by_state, "state", [None, *STATES], lambda s: words.name("state", s) if s else anything),
        period=choice(by_period, "period", list(PERIODS), lambda name: words(f"period.{name}"), index=2),
        size=choice(by_size, "size", _SIZES, str),
    )


def _question(site: Site, filters: Filters) -> Question:
    """The question of this browser. Other filters make it a new one, from its first page."""
    asked = st.session_state.get(_STATE)
    if not isinstance(asked, Question) or asked.filters != filters:
        asked = st.session_state[_STATE] = ask(filters, site.now())
    return asked


def _turn(site: Site, question: Question, following: str | None) -> None:
    words, tokens = site.words, question.tokens
    st.button(
        words("history.newer"),
        disabled=len(tokens) == 1,
        icon=":material/chevron_left:",
        on_click=_forget_last,
        args=(tokens,),
    )
    st.text(words("history.page", number=len(tokens)))
    st.button(
        words("history.older"),
        disabled=following is None,
        icon=":material/chevron_right:",
        on_click=tokens.append,
        args=(following,),
    )
    st.button(words("history.again"), icon=":material/refresh:", on_click=st.session_state.pop, args=(_STATE, None))


def _forget_last(tokens: list[str | None]) -> None:
    tokens.pop()


def columns(site: Site) -> list[Column[Run]]:
    """Of the table of runs."""
    words = site.words
    return [
        Column(words("history.run"), lambda run: one_line(run.run_name), width="medium"),
        Column(words("flows.flow"), lambda run: FlowKey(run.flow, run.deployment).label, width="medium"),
        Column(
            words("flows.state"),
            lambda run: f"● {words.state(run.state_name, run.state_type)}",
            tone=lambda run: tone(run.state_type),
        ),
        Column(words("history.at"), lambda run: words.time(run.occurred_at)),
        Column(words("history.started"), lambda run: words.time(run.start_time)),
        Column(words("history.duration"), attrgetter("duration_s"), numbers(words.span), width="small"),
        Column(words("history.cpu"), attrgetter("cpu_seconds"), numbers(words.span), width="small"),
        Column(words("history.memory"), attrgetter("memory_peak_bytes"), numbers(words.size), width="small"),
        Column("Prefect", lambda run: site.run_page(run.run_id), link_text=words("open"), width="small"),
        Column(words("history.trace"), partial(_trace, site), link_text=words("open"), width="small"),
        Column(words("history.message"), lambda run: one_line(run.message or ""), width="large"),
    ]


def _trace(site: Site, run: Run) -> str:
    return site.trace_page(run.event_id) if run.event_id else ""


def export(site: Site, wanted: Mapping[str, str | None]) -> bytes:
    """All runs that the filters let through. Raises ServiceAwayError: no file is better than half of one."""
    return to_csv(_all(site.look().service("monitor"), wanted))


def _all(rest: Rest, wanted: Mapping[str, str | None]) -> Iterator[Run]:
    token: str | None = None
    while True:
        page = rest.get("/v1/runs", Runs, page_size=_EXPORT_PAGE, page_token=token, **wanted)
        yield from page.runs
        if (token := page.next_page_token) is None:
            return
