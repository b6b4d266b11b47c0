"""Reading a pinned version of Gold, counting its new rows, and what cannot be read, in plain words."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake

from flows.ml.errors import GoldError
from flows.ml.gold import count_new, read_gold
from tests.support.monthly_gold import invented_gold
from tests.unit.flows.test_ml_features import DEFINITION


@pytest.fixture
def gold() -> pd.DataFrame:
    return invented_gold(lambda _: 0.0, months=10)


@pytest.fixture
def table(tmp_path: Path, gold: pd.DataFrame) -> str:
    path = str(tmp_path / "my lake" / "gold")
    write_deltalake(path, gold)
    return path


def test_the_pinned_version_is_read_whatever_came_later(table: str, gold: pd.DataFrame) -> None:
    write_deltalake(table, gold.assign(close_last=1.0), mode="overwrite")
    pinned, newest = read_gold(table, DEFINITION, 0), read_gold(table, DEFINITION, None)
    assert (pinned.version, newest.version) == (0, 1)
    assert pinned.rows["value"].tolist() == pytest.approx(gold["close_last"].tolist())
    assert set(newest.rows["value"]) == {1.0}
    assert pinned.table_id == newest.table_id == str(DeltaTable(table).metadata().id)


def test_new_and_changed_rows_are_counted_however_they_lie(table: str, gold: pd.DataFrame) -> None:
    known = read_gold(table, DEFINITION, None).hashes()
    more = invented_gold(lambda _: 0.0, months=12, seed=2).query("month >= @later", local_dict={"later": LATER})
    changed = pd.concat([gold.sample(frac=1, random_state=1), more], ignore_index=True)
    changed.iloc[3, changed.columns.get_loc("volume_total")] += 1
    write_deltalake(table, changed, mode="overwrite")
    current = read_gold(table, DEFINITION, None).hashes()
    assert count_new(current, known) == len(more) + 1
    assert count_new(current, None) == len(gold) + len(more)
    assert count_new(known, current) == 1


LATER = pd.Timestamp("2010-11-01").date()


def test_a_column_that_no_model_knows_of_makes_no_row_new(table: str, gold: pd.DataFrame) -> None:
    known = read_gold(table, DEFINITION, None).hashes()
    write_deltalake(table, gold.assign(remark="x"), mode="overwrite", schema_mode="overwrite")
    assert count_new(read_gold(table, DEFINITION, None).hashes(), known) == 0


def test_what_cannot_be_read_is_said_plainly(table: str, gold: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(GoldError, match=r"no such Delta table; load dataset stocks first"):
        read_gold(str(tmp_path / "none"), DEFINITION, None)
    with pytest.raises(GoldError, match="has no version 7; the newest is 0"):
        read_gold(table, DEFINITION, 7)
    write_deltalake(table, gold, mode="overwrite")
    DeltaTable(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(GoldError, match="the files of version 0 are gone"):
        read_gold(table, DEFINITION, 0)
    write_deltalake(table, pd.concat([gold, gold.head(1)], ignore_index=True), mode="overwrite")
    with pytest.raises(GoldError, match="more than one row for one symbol and month"):
        read_gold(table, DEFINITION, None)
    odd = gold.assign(volume_total="many")
    write_deltalake(table, odd, mode="overwrite", schema_mode="overwrite")
    with pytest.raises(GoldError, match=r"month must be a date and close_last, .* numbers"):
        read_gold(table, DEFINITION, None)
    write_deltalake(table, gold.drop(columns="high_max"), mode="overwrite", schema_mode="overwrite")
    with pytest.raises(GoldError, match="has no column high_max, which model stocks-return needs"):
        read_gold(table, DEFINITION, None)


def test_a_row_without_entity_period_or_value_is_left_out(table: str, gold: pd.DataFrame) -> None:
    holes = gold.copy()
    holes.loc[0, "symbol"], holes.loc[1, "close_last"], holes.loc[2, "month"] = None, None, None
    holes.loc[3, "volume_total"] = None
    write_deltalake(table, holes, mode="overwrite", schema_mode="overwrite")
    assert len(read_gold(table, DEFINITION, None).rows) == len(gold) - 3
