"""The alert rules with their switches and limits: shown and changed in the monitor, which judges every value.

Changes are sent by callbacks, which run before the page is drawn anew: they see what the browser was shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from services.dashboard.answers.monitor import Rule, Rules, Threshold, Thresholds
from services.dashboard.client import RefusedError, ServiceAwayError, segment
from services.dashboard.pages.site import Site, show_away
from services.dashboard.safe import code, plain
from services.dashboard.views.limits import change, override_keys, problems

_NOTES = "limits-notes"
_NUMBER = "%.10g"
_LOOKS = {
    "success": (st.success, ":material/check_circle:"),
    "warning": (st.warning, ":material/sync_problem:"),
    "error": (st.error, ":material/error:"),
}


def show(site: Site) -> None:
    """Draw each rule with its switch, and a form for each of its limits."""
    look = site.look()
    rules = look.ask("monitor", lambda rest: rest.get("/v1/rules", Rules))
    limits = look.ask("monitor", lambda rest: rest.get("/v1/thresholds", Thresholds))
    show_away(site, look)
    if rules is None or limits is None:
        return
    st.caption(site.words("limits.about"))
    for rule in rules.rules:
        with st.container(border=True):
            _rule(site, rule)
            for threshold in limits.thresholds:
                if threshold.rule == rule.rule:
                    _limit(site, threshold, override_keys(threshold, limits))


def _rule(site: Site, rule: Rule) -> None:
    words = site.words
    key = f"limits-{rule.rule}-{rule.enabled}"
    about, switch = st.columns([5, 1], vertical_alignment="center")
    about.markdown(f"**{plain(words.name('rule', rule.rule))}** · {plain(words.name('severity', rule.severity))}")
    switch.toggle(words("limits.enabled"), value=rule.enabled, key=key, on_change=_switch, args=(site, rule.rule, key))
    _show_notes(rule.rule)


def _limit(site: Site, threshold: Threshold, keys: Sequence[str]) -> None:
    words = site.words
    # With its version in their names, the fields follow what somebody else changed meanwhile.
    stem = f"limits-{threshold.rule}-{threshold.name}-{threshold.etag}"
    with st.form(f"limits-{threshold.rule}-{threshold.name}", border=False):
        value, about = st.columns([1, 2], vertical_alignment="bottom")
        value.number_input(
            f"{plain(words.name('limit', threshold.name))} ({plain(words.name('unit', threshold.unit))})",
            value=threshold.value,
            format=_NUMBER,
            key=f"{stem}-value",
        )
        default = words("limits.default", value=words.amount(threshold.default))
        must_be = words("limits.must_be", limits=threshold.must_be)
        about.caption(f"{plain(threshold.description)} {plain(default)} · {plain(must_be)}")
        if keys:
            with st.expander(words("limits.overrides", count=len(threshold.overrides or {}))):
                _overrides(site, threshold, keys, stem)
        st.form_submit_button(
            words("limits.save"), icon=":material/save:", on_click=_save, args=(site, threshold, tuple(keys), stem)
        )
        _show_notes(f"{threshold.rule}-{threshold.name}")


def _overrides(site: Site, threshold: Threshold, keys: Sequence[str], stem: str) -> None:
    places = st.columns(3)
    for number, key in enumerate(keys):
        places[number % len(places)].number_input(
            plain(key),
            value=(threshold.overrides or {}).get(key),
            format=_NUMBER,
            placeholder=site.words("limits.as_above"),
            key=f"{stem}-for-{key}",
        )


def _save(site: Site, threshold: Threshold, keys: Sequence[str], stem: str) -> None:
    overrides = {key: st.session_state[f"{stem}-for-{key}"] for key in keys}
    body = change(threshold, st.session_state[f"{stem}-value"], overrides)
    path = f"/v1/thresholds/{segment(threshold.rule)}/{segment(threshold.name)}"
    _send(site, path, Threshold, body, f"{threshold.rule}-{threshold.name}", threshold.etag)


def _switch(site: Site, rule: str, key: str) -> None:
    enabled = bool(st.session_state[key])
    if not _send(site, f"/v1/rules/{segment(rule)}", Rule, {"enabled": enabled}, rule):
        st.session_state[key] = not enabled


def _send(
    site: Site,
    path: str,
    kind: type[Rule] | type[Threshold],
    body: Mapping[str, object],
    place: str,
    etag: str | None = None,
) -> bool:
    """Change it in the monitor, and note what came of it for that place of the page."""
    words = site.words
    try:
        site.look().service("monitor").put(path, kind, body, etag)
    except ServiceAwayError as error:
        notes = [("error", words("limits.away", reason=code(error.reason)))]
    except RefusedError as error:
        if error.status == 412:
            notes = [("warning", words("limits.changed"))]
        elif error.status in {401, 403}:
            notes = [("error", words("limits.token", reason=plain(error.detail)))]
        else:
            notes = [
                ("error", words("limits.refused", field=code(field), reason=plain(reason)))
                for field, reason in problems(error).items()
            ]
    else:
        notes = [("success", words("limits.saved"))]
    st.session_state.setdefault(_NOTES, {})[place] = notes
    return notes[0][0] == "success"


def _show_notes(place: str) -> None:
    """What came of the last change here, once. Not from the callback: what that draws has no place on the page."""
    for kind, text in st.session_state.get(_NOTES, {}).pop(place, ()):
        show_note, icon = _LOOKS[kind]
        show_note(text, icon=icon)
