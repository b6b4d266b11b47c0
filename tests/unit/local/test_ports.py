"""Ports: the wanted one where it is free, another where it is taken, the same again at the next start."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datalab.local.ports import PortBook, is_free
from tests.support.processes import free_port


@contextmanager
def listener(port: int = 0) -> Iterator[int]:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen(1)
        yield server.getsockname()[1]


def book(tmp_path: Path, lab: str = "one") -> PortBook:
    return PortBook(tmp_path / lab / "ports.json", tmp_path / "reservations")


def test_a_free_port_is_taken_as_wanted(tmp_path: Path) -> None:
    wanted = free_port()

    assert book(tmp_path).choose({"kafka": wanted}) == {"kafka": wanted}


def test_a_taken_port_is_replaced_and_the_replacement_is_remembered(tmp_path: Path) -> None:
    first, second = book(tmp_path), book(tmp_path)
    with listener() as taken:
        replaced = first.choose({"kafka": taken})["kafka"]
        assert replaced != taken
        assert is_free(replaced)
    first.release()

    assert second.choose({"kafka": taken}) == {"kafka": replaced}


def test_a_remembered_port_that_is_taken_meanwhile_gives_way(tmp_path: Path) -> None:
    first, second = book(tmp_path), book(tmp_path)
    with listener() as taken:
        replaced = first.choose({"kafka": taken})["kafka"]
        first.release()
        with listener(replaced):
            assert second.choose({"kafka": taken})["kafka"] not in (taken, replaced)


def test_a_new_wish_overrules_the_memory(tmp_path: Path) -> None:
    first, second, old, new = book(tmp_path), book(tmp_path), free_port(), free_port()
    first.choose({"kafka": old})
    first.release()

    assert second.choose({"kafka": new}) == {"kafka": new}


def test_two_labs_that_start_at_once_never_choose_the_same_port(tmp_path: Path) -> None:
    wanted = free_port()
    one = book(tmp_path, "one").choose({"kafka": wanted})
    two = book(tmp_path, "two").choose({"kafka": wanted})

    assert one["kafka"] == wanted
    assert two["kafka"] != wanted


def test_two_parts_that_want_the_same_port_get_two(tmp_path: Path) -> None:
    wanted = free_port()

    assert len(set(book(tmp_path).choose({"a": wanted, "b": wanted}).values())) == 2


def test_a_released_port_can_be_had_again(tmp_path: Path) -> None:
    wanted, first = free_port(), book(tmp_path, "one")
    first.choose({"kafka": wanted})
    first.release()

    assert book(tmp_path, "two").choose({"kafka": wanted}) == {"kafka": wanted}


def test_a_damaged_memory_is_ignored(tmp_path: Path) -> None:
    wanted = free_port()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "ports.json").write_text('{"kafka": 5')

    assert book(tmp_path).choose({"kafka": wanted}) == {"kafka": wanted}
