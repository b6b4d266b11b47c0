"""JSON sources: what counts as a record, what each value becomes, and in which words a file or a record is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.lake import json_records, json_staging
from flows.lake.datasets import Dataset, load_datasets
from flows.lake.errors import SourceError
from flows.lake.json_staging import first_fields, stage_json
from flows.lake.loading import fields_of, stage

GOOD = '{"regiao":"Sul","data":"2024-01-01","valor":10.50}'


@pytest.fixture(scope="module")
def eventos() -> Dataset:
    return load_datasets(PROJECT_ROOT / "config" / "datasets.yaml")["eventos"]


@pytest.fixture
def staged(tmp_path: Path, eventos: Dataset) -> Any:
    def run(content: str | bytes, name: str = "a.json") -> list[tuple[int, dict[str, str | None], str | None]]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        file = stage(path, tmp_path / "staging", eventos)
        lines = [json.loads(line) for line in file.path.read_text("ascii").splitlines()]
        assert all((line["r"] is None) == (line["e"] is None) for line in lines)
        return [(line["n"], line["f"], line["e"]) for line in lines]

    return run


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.json", f"[{GOOD},{GOOD}]"),
        ("pretty.json", "\ufeff [\n" + ",\n".join(json.dumps(json.loads(GOOD), indent=2) for _ in range(2)) + "\n]\n"),
        ("lines.json", f"{GOOD}\n{GOOD}\n"),
        ("lines.jsonl", f"{GOOD}\r\n\r\n{GOOD}"),
        ("LINES.NDJSON", f"{GOOD}\n{GOOD}"),
    ],
)
def test_a_list_and_lines_are_the_same_records(staged: Any, name: str, content: str) -> None:
    fields = [values for _, values, _ in staged(content, name)]
    assert len(fields) == 2
    assert {values["regiao"] for values in fields} == {"Sul"}
    assert float(fields[0]["valor"]) == 10.5


def test_one_object_is_one_record_on_one_line_or_on_many(staged: Any) -> None:
    for content in (GOOD, json.dumps(json.loads(GOOD), indent=1)):
        assert len(staged(content)) == 1


def test_values_are_kept_to_the_letter(staged: Any) -> None:
    [(_, values, fault)] = staged(
        '{"Região":"São Paulo 🎉 \\u00e9 a\\u2028b","DATA":"2024-01-01","valor":1234567890123456789.10,"n":1e400,'
        '"ok":true,"nada":null,"texto":"12,5","aninhado":{"a":[1.0,{"b":null}],"c":"\\""}}'
    )
    assert fault is None
    assert values == {
        "regiao": "São Paulo 🎉 é a\u2028b",
        "data": "2024-01-01",
        "valor": "1234567890123456789.10",
        "n": "1e400",
        "ok": "true",
        "nada": None,
        "texto": "12,5",
        "aninhado": '{"a": [1.0, {"b": null}], "c": "\\""}',
    }


def test_what_cannot_be_a_row_is_kept_as_it_was_written_with_the_reason(tmp_path: Path, eventos: Dataset) -> None:
    bad = {
        '{"regiao":"Sul","valor":1': r"not JSON: Expecting ',' delimiter at column 26",
        "7": "a number and not an object",
        "null": "null and not an object",
        '["a"]': "a list and not an object",
        '"text"': "a text and not an object",
        "false": "true or false and not an object",
        '{"regiao":"Sul","valor":1,"valor":2}': "valor is given twice",
        '{"regiao":"Sul","REGION":"Norte"}': "regiao is given twice",
        '{"regiao":["Sul"],"valor":{"x":1}}': "regiao is a list and not one value; "
        "valor is an object and not one value",
        '{"regiao":"\\ud83d"}': "half of a character: a lone surrogate",
        "[" * 100_000 + "]" * 100_000: "nested too deeply",
    }
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([GOOD, *bad, GOOD]))
    file = stage_json(path, tmp_path / "staging", eventos, lines=True)
    lines = [json.loads(line) for line in file.path.read_text().splitlines()]
    assert {line["r"]: line["e"] for line in lines if line["e"]} == bad
    assert [line["n"] for line in lines] == list(range(1, len(bad) + 3))
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not (tmp_path / "staging" / "incoming").exists()


def test_an_escaped_pair_of_surrogates_is_a_character(staged: Any) -> None:
    [(_, values, fault)] = staged('{"regiao":"\\ud83c\\udf89"}')
    assert (values["regiao"], fault) == ("🎉", None)


def test_broken_lines_in_a_json_file_keep_no_other_out(staged: Any) -> None:
    faults = [fault for _, _, fault in staged('{"regiao": \n' + GOOD + "\n")]
    assert faults[0].startswith("not JSON")
    assert faults[1] is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[]", "the file holds no record"),
        ("a.json", " \n\n", "the file holds no record"),
        ("a.jsonl", "\n", "the file holds no record"),
        ("a.json", "[1, 2]", "no record is an object with fields; the first one is a number"),
        ("a.json", "[{}]", "the first one is an object without fields"),
        ("a.jsonl", "x\ny\n", "the first one is not JSON"),
        ("a.json", f"[{GOOD},\n{GOOD}\n", r"not a list in JSON: Expecting ',' or ']' at line 3"),
        ("a.json", f"[{GOOD}\n{GOOD}]", r"Expecting ',' or ']' at line 2"),
        ("a.json", f"[{GOOD},]", "not a list in JSON"),
        ("a.json", f"[{GOOD}] x", "Extra data after the list"),
        ("a.json", "[" * 100_000, "Nested too deeply"),
        ("a.json", '{\n "regiao": "Sul",\n "valor" 1\n}', "is not JSON: Expecting ':' delimiter at line 3, column 10"),
        ("a.json", "hello", "is not JSON"),
        ("a.json", b"[1\0]", "binary data"),
        ("a.json", b'["\xff"]', "not UTF-8"),
        ("a.json", b"", "the file is empty"),
        ("a.csv", "regiao,data,valor\n", r"the dataset takes \.json or \.jsonl or \.ndjson files"),
    ],
)
def test_a_file_without_records_is_refused_by_its_name(staged: Any, name: str, content: Any, message: str) -> None:
    with pytest.raises(SourceError, match=message) as refused:
        staged(content, name)
    assert str(refused.value).startswith(f"{name}: ")


def test_names_of_fields_as_data_do_not_become_a_thousand_columns(staged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_staging, "MOST_FIELDS", 3)
    with pytest.raises(SourceError, match="more than 3 fields"):
        staged("\n".join(json.dumps({"regiao": "x", f"k{n}": 1}) for n in range(4)))


def test_extra_fields_get_safe_names_that_stay_the_same_in_bronze(staged: Any, eventos: Dataset) -> None:
    odd = {"regiao": "x", "Preço (R$)": 1, "": 2, "valor!": 3, "data_ingestao": 4, "_run_id": 5, "preço r": 6}
    [(_, values, _)] = staged(json.dumps(odd))
    assert len(values) == len(odd)
    assert eventos.canonical_names(values) == list(values)
    assert not {"data_ingestao", "_run_id", "valor"} & set(values)


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_pieces_of_any_size_make_the_same_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(json_records, "_CHUNK", size)
    values = [12345, -1.5e10, 'a]b,\\" c', {"k": [1, {"x": []}]}, None, True, 12]
    path = tmp_path / "a.json"
    path.write_text(" [ " + " ,\n".join(json.dumps(value) for value in values) + "]")
    assert [json.loads(record.raw) for record in json_records.records(path, lines=False)] == values


def test_the_fields_tell_the_dataset(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(f"[3, {GOOD}]")
    assert fields_of(path) == first_fields(path, lines=False) == ["regiao", "data", "valor"]
    path.write_text("{")
    with pytest.raises(SourceError, match=r"a\.json: is not JSON"):
        fields_of(path)
