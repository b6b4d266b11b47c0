"""The page "Services & data": what the lab runs on, what waits in Kafka, and the tables of the lake."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

import streamlit as st

from services.dashboard.answers.monitor import Dataset, Datasets, Service, Services, Topics
from services.dashboard.pages.site import Site, show_away
from services.dashboard.pages.tables import Column, numbers, table
from services.dashboard.safe import one_line
from services.dashboard.views.tones import tone
from services.dashboard.views.topics import TopicLine, topic_lines


def show(site: Site) -> None:
    """Draw the page; it draws itself anew by itself."""
    st.fragment(partial(_watched, site), run_every=site.settings.dashboard_refresh_s)()


def _watched(site: Site) -> None:
    words, look = site.words, site.look()
    services = look.ask("monitor", lambda rest: rest.get("/v1/services", Services))
    topics = look.ask("monitor", lambda rest: rest.get("/v1/topics", Topics))
    datasets = look.ask("monitor", lambda rest: rest.get("/v1/datasets", Datasets))
    show_away(site, look)
    if services is not None:
        st.subheader(words("services.title"))
        table(services.services, service_columns(site), key="services", nothing=words("services.none"))
    if topics is not None:
        st.subheader(words("topics.title"))
        table(topic_lines(topics), topic_columns(site), key="topics", nothing=words("topics.none"))
    if datasets is not None:
        st.subheader(words("datasets.title"))
        table(datasets.datasets, dataset_columns(site), key="datasets", nothing=words("datasets.none"))
    if not look.away:
        st.caption(words("lab.measured", at=words.time(site.now())))


def service_columns(site: Site) -> list[Column[Service]]:
    """Of the table of services."""
    words, now = site.words, site.now()
    return [
        Column(words("services.service"), attrgetter("service"), width="medium"),
        Column(
            words("services.status"),
            lambda s: f"● {words.name('service', s.status)}",
            tone=lambda s: tone(s.status),
            width="small",
        ),
        Column(words("services.seen"), lambda s: words.ago(s.last_seen, now), width="small"),
        Column(words("services.cpu"), attrgetter("cpu_share"), numbers(words.percent), width="small"),
        Column(words("services.memory"), attrgetter("memory_bytes"), numbers(words.size), width="small"),
        Column(
            words("services.failing"),
            lambda s: one_line("; ".join(f"{check.check}: {check.reason}" for check in s.failing)),
            width="large",
        ),
    ]


def topic_columns(site: Site) -> list[Column[TopicLine]]:
    """Of the table of topics."""
    words, now = site.words, site.now()
    return [
        Column(words("topics.topic"), attrgetter("topic"), width="medium"),
        Column(words("topics.records"), attrgetter("records"), numbers(words.number), width="small"),
        Column(words("topics.size"), attrgetter("size_bytes"), numbers(words.size), width="small"),
        Column(
            words("topics.lag"),
            attrgetter("lag"),
            numbers(words.number),
            tone=lambda line: "warn" if line.lag else "plain",
            width="small",
        ),
        Column(words("topics.groups"), lambda line: line.by_group(words), width="large"),
        Column(words("topics.measured"), lambda line: words.ago(line.measured_at, now), width="small"),
    ]


def dataset_columns(site: Site) -> list[Column[Dataset]]:
    """Of the table of tables."""
    words, now = site.words, site.now()
    return [
        Column(words("datasets.layer"), attrgetter("layer"), width="small"),
        Column(words("datasets.table"), attrgetter("table"), width="medium"),
        Column(words("datasets.rows"), attrgetter("rows"), numbers(words.number), width="small"),
        Column(words("datasets.files"), attrgetter("files"), numbers(words.number), width="small"),
        Column(words("datasets.size"), attrgetter("size_bytes"), numbers(words.size), width="small"),
        Column(words("datasets.age"), lambda d: words.ago(d.updated_at, now), width="small"),
        Column(words("datasets.measured"), lambda d: words.ago(d.measured_at, now), width="small"),
    ]
