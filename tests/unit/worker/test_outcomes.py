from __future__ import annotations

from datalab.worker.outcomes import crash_message
from datalab.worker.protocol import Ended


def test_a_signal_is_named_with_what_the_run_used_and_last_said() -> None:
    message = crash_message(Ended(-9, 1.25, 300 << 20), None, ["reading", "x" * 1000])
    assert message.startswith("Its process was ended by SIGKILL. It used 1.2 s of CPU and at most 300 MiB of memory.")
    assert "\nIts last lines:\nreading\n" in message
    assert len(message) < 700


def test_a_broken_limit_is_the_reason() -> None:
    assert crash_message(Ended(-9), "It used too much.", []) == "It used too much."


def test_an_unknown_end_and_an_end_without_a_word_are_told() -> None:
    assert "how is not known" in crash_message(Ended(None), None, [])
    assert "before the run reported" in crash_message(Ended(0), None, [])
    assert "exit code 3" in crash_message(Ended(3), None, [])
    assert "signal 200" in crash_message(Ended(-200), None, [])
