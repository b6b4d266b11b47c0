"""The page "Event trace": one event, what caused it and what it caused, down to each delivery."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from services.dashboard.answers.tracing import Trigger, Triggers
from services.dashboard.chain import find_chain
from services.dashboard.pages.site import Site, show_away
from services.dashboard.pages.tables import Column, table
from services.dashboard.safe import code
from services.dashboard.views.charts import timeline
from services.dashboard.views.steps import Step, counts, duration_s, indented, steps

_RECENT = 30


def show(site: Site) -> None:
    """Draw the page. Nothing is read from Kafka until an event is named."""
    look = site.look()
    recent = look.ask("bridge", lambda rest: rest.get("/v1/triggers", Triggers, page_size=_RECENT))
    event_id = _chosen(site, recent.triggers if recent else [])
    if not event_id:
        show_away(site, look)
        st.info(site.words("trace.choose"), icon=":material/info:")
        return
    settings = site.settings
    with st.spinner(site.words("trace.reading")):
        chain = find_chain(look, settings.kafka_bootstrap_servers, event_id, settings.dashboard_trace_deadline_s)
    show_away(site, look)
    found = steps(chain, site.words)
    if not found:
        st.warning(site.words("trace.unknown", id=code(event_id)), icon=":material/search_off:")
        return
    _totals(site, found, chain.correlation)
    st.subheader(site.words("trace.timeline"))
    st.altair_chart(timeline(found, site.words), width="stretch", alt=site.words("trace.timeline"))
    st.subheader(site.words("trace.steps"))
    table(found, columns(site), key="steps", nothing="")
    if event := chain.events.get(event_id):
        with st.expander(site.words("trace.event"), icon=":material/data_object:"):
            st.json(event.model_dump(mode="json", exclude_none=True))


def _chosen(site: Site, recent: Sequence[Trigger]) -> str:
    """The id that was pasted or chosen; it stands in the page's address, so that a trace can be passed on."""
    words = site.words
    labels = {
        t.event_id: f"{words.time(t.created_at)} · {words.name('event', t.event_type)} · {t.rule}" for t in recent
    }

    def take() -> None:
        st.session_state["event"] = st.session_state["trace-recent"] or ""
        st.session_state["trace-recent"] = None

    pasted, chosen = st.columns([3, 2])
    with chosen:
        st.selectbox(
            words("trace.recent"),
            list(labels),
            index=None,
            format_func=lambda id_: labels.get(id_, id_),
            placeholder=words("trace.recent.none" if not labels else "trace.recent.choose"),
            disabled=not labels,
            key="trace-recent",
            on_change=take,
        )
    with pasted:
        entered = st.text_input(
            words("trace.id"), key="event", bind="query-params", max_chars=2048, placeholder=words("trace.id.hint")
        )
    return (entered or "").strip()


def _totals(site: Site, found: list[Step], correlation: str) -> None:
    words, of_kind = site.words, counts(found)
    shown = {
        f"trace.count.{kind}": words.number(of_kind.get(kind, 0)) for kind in ("event", "run", "alert", "delivery")
    }
    shown["trace.duration"] = words.span(duration_s(found))
    for place, (name, value) in zip(st.columns(len(shown)), shown.items(), strict=True):
        place.metric(words(name), value, border=True)
    st.caption(words("trace.correlation", id=code(correlation)))


def columns(site: Site) -> list[Column[Step]]:
    """Of the tree, in the order of cause and effect."""
    words = site.words
    return [
        Column(words("trace.step"), indented, width=380),
        Column(words("trace.says"), lambda step: step.says, tone=lambda step: step.tone, width=420),
        Column(words("trace.at"), lambda step: words.time(step.at), width=150),
        Column(words("trace.after"), lambda step: step.after_s, lambda s: f"+{words.span(s)}", width=95),
        Column(words("trace.kind"), lambda step: words(f"kind.{step.kind}"), width=80),
        Column("Prefect", lambda step: step.link or "", link_text=words("open"), width=70),
        Column("id", lambda step: step.id, width=290),
    ]
