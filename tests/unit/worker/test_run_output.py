from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from datalab.worker.output import RunOutput


@pytest.fixture
def output() -> Iterator[RunOutput]:
    output = RunOutput()
    yield output
    output.close()


def test_whole_lines_come_once(output: RunOutput) -> None:
    os.write(output.descriptor, b"one\ntwo\nhal")
    assert output.new_lines() == ["one", "two"]
    os.write(output.descriptor, b"f\n")
    assert output.new_lines() == ["half"]
    assert output.new_lines() == []


def test_the_rest_comes_at_the_end(output: RunOutput) -> None:
    os.write(output.descriptor, b"one\nwithout an end")
    assert output.new_lines(at_end=True) == ["one", "without an end"]


def test_the_tail_keeps_the_last_lines_that_say_something(output: RunOutput) -> None:
    os.write(output.descriptor, b"".join(b"%d\n\n" % number for number in range(100)))
    output.new_lines()
    assert list(output.tail) == [str(number) for number in range(85, 100)]


def test_bytes_that_are_no_text_and_endless_lines_do_no_harm(output: RunOutput) -> None:
    os.write(output.descriptor, b"\xff\n" + b"x" * 200_000)
    lines = output.new_lines()
    assert lines[0] == "�"
    assert max(map(len, lines)) <= 2000
    assert len(lines) >= 2


def test_it_has_no_name_in_the_file_system(output: RunOutput) -> None:
    assert os.fstat(output.descriptor).st_nlink == 0
