"""What is generated is up to date and valid, and no type breaks with a version that was published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from schemas import generate
from schemas.catalog import EVENT_TYPES, topics
from schemas.compatibility import breaks
from schemas.generation.json_schemas import published, schema_of, unpublished
from schemas.user_types import compile_schema

ROOT = Path(__file__).parents[3]
ASYNCAPI = ROOT / "tests" / "support" / "asyncapi" / "3.0.0.json"
FILE_ARRIVED = "lab.file.arrived.v1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the generated files, to be spoilt."""
    for folder in ("schemas/json", "schemas/published"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "docs").mkdir()
    for file in ("asyncapi.yaml", "docs/events.md", "schemas/published.sha256"):
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def publish(project: Path, type_: str, **changed: Any) -> None:
    """As if the next version had been this one."""
    number = len(published(project, type_)) + 1
    schema = {**schema_of(EVENT_TYPES[type_]), **changed}
    (project / "schemas" / "published" / type_ / f"{number}.json").write_text(json.dumps(schema), "utf-8")


def test_generated_files_are_up_to_date_and_nothing_breaks() -> None:
    assert generate.breaking(ROOT) == []
    assert generate.drift(ROOT) == []
    assert {type_ for type_ in EVENT_TYPES if not published(ROOT, type_)} == set()


@pytest.mark.parametrize("path", ["asyncapi.yaml", "docs/events.md", f"schemas/json/{FILE_ARRIVED}.json"])
def test_a_file_that_was_edited_by_hand_is_named(project: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with (project / path).open("a", encoding="utf-8") as file:
        file.write("\n# by hand\n")

    assert generate.main(["--check"], project) == 1
    assert capsys.readouterr().err == f"{path}: is out of date; run `make contracts`\n"
    assert generate.main([], project) == 0
    assert generate.main(["--check"], project) == 0


def test_a_schema_of_no_type_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "schemas" / "json" / "lab.gone.v1.json").write_text("{}", "utf-8")

    assert generate.main(["--check"], project) == 1
    assert "lab.gone.v1.json: is of no type" in capsys.readouterr().err


def test_a_break_with_an_older_version_is_refused_and_nothing_is_written(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = schema_of(EVENT_TYPES[FILE_ARRIVED])
    earlier = {**now, "properties": {**now["properties"], "owner": {"type": "string"}}}
    (project / "schemas" / "published" / FILE_ARRIVED / "1.json").write_text(json.dumps(earlier), "utf-8")
    publish(project, FILE_ARRIVED)

    assert generate.main([], project) == 1
    assert generate.main(["--check"], project) == 1
    assert f"{FILE_ARRIVED}: owner: removed field: was string in version 1, is absent" in capsys.readouterr().err
    assert len(published(project, FILE_ARRIVED)) == 2


def test_a_type_that_was_taken_away_breaks(project: Path) -> None:
    (project / "schemas" / "published" / "lab.gone.v1").mkdir()
    (project / "schemas" / "published" / "lab.gone.v1" / "1.json").write_text('{"type": "object"}', "utf-8")

    assert len(generate.breaking(project)) == 1


def test_a_published_version_that_was_removed_is_missed(project: Path) -> None:
    publish(project, FILE_ARRIVED)
    (project / "schemas" / "published" / FILE_ARRIVED / "1.json").unlink()

    with pytest.raises(ValueError, match=r"lab\.file\.arrived\.v1.*bring the others back"):
        generate.breaking(project)


def test_a_published_version_that_was_changed_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"schemas/published/{FILE_ARRIVED}/1.json"
    before = (project / path).read_text("utf-8")
    (project / path).write_text(before.replace('"maxLength"', '"minLength"') + " ", "utf-8")

    assert generate.main([], project) == 1
    assert f"{path}: was changed after it was published; bring it back" in capsys.readouterr().err
    (project / path).write_text(before, "utf-8")
    assert generate.main(["--check"], project) == 0


def test_the_newest_published_version_is_missed_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest = f"schemas/published/{FILE_ARRIVED}/{len(published(project, FILE_ARRIVED))}.json"
    (project / newest).unlink()

    assert generate.main([], project) == 1
    assert f"{newest}: was removed after it was published" in capsys.readouterr().err


def test_a_new_version_is_sealed_and_the_old_seals_stay(project: Path) -> None:
    now = schema_of(EVENT_TYPES[FILE_ARRIVED])
    narrow = {**now["properties"]["uri"], "maxLength": 10}
    publish(project, FILE_ARRIVED, properties={**now["properties"], "uri": narrow})
    seals = (project / "schemas" / "published.sha256").read_text("utf-8").splitlines()

    assert generate.main([], project) == 0
    added = set((project / "schemas" / "published.sha256").read_text("utf-8").splitlines()) - set(seals)
    assert len(added) == 2
    assert all(f"  {FILE_ARRIVED}/" in line for line in added)
    assert generate.drift(project) == []


def test_new_words_are_no_new_version_but_a_new_field_is(project: Path) -> None:
    now = schema_of(EVENT_TYPES[FILE_ARRIVED])
    uri = {**now["properties"]["uri"], "description": "said otherwise"}
    publish(project, FILE_ARRIVED, properties={**now["properties"], "uri": uri}, description="said otherwise")
    assert unpublished(project) == {}

    fewer = {name: field for name, field in now["properties"].items() if name != "modified_at"}
    publish(project, FILE_ARRIVED, properties=fewer, required=[*fewer])
    assert list(unpublished(project)) == [f"schemas/published/{FILE_ARRIVED}/4.json"]


def test_the_asyncapi_document_is_valid_by_the_official_schema() -> None:
    document = yaml.safe_load((ROOT / "asyncapi.yaml").read_text("utf-8"))
    validator = jsonschema_rs.validator_for(json.loads(ASYNCAPI.read_text("utf-8")), offline=True)

    assert [f"{'/'.join(map(str, e.instance_path))}: {e.message[:200]}" for e in validator.iter_errors(document)] == []
    assert not validator.is_valid({**document, "channels": {"a": {"adress": "a"}}})
    assert not validator.is_valid({**document, "operations": {"a": {"action": "shout"}}})


def test_every_topic_type_producer_and_consumer_is_in_the_asyncapi_document() -> None:
    document = yaml.safe_load((ROOT / "asyncapi.yaml").read_text("utf-8"))
    roles = {(f"{n.replace(' ', '-')}.send.{t.name}") for t in topics() for n in t.producers} | {
        f"{n}.receive.{t.name}" for t in topics() for n in t.consumers
    }

    assert set(document["channels"]) == {topic.name for topic in topics()} | {"lab.events"}
    assert document["channels"]["lab.events"]["address"] == "lab.events.{type}"
    assert set(document["operations"]) == roles | {"ingest.send.lab.events"}
    for type_, model in EVENT_TYPES.items():
        assert document["channels"][model.topic]["messages"][type_] == {"$ref": f"#/components/messages/{type_}"}
        assert len(document["components"]["messages"][type_]["examples"]) >= 2


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_the_json_schema_judges_as_the_model_does(type_: str) -> None:
    faults = compile_schema(schema_of(EVENT_TYPES[type_]))
    examples = [json.loads(path.read_text("utf-8")) for path in (ROOT / "schemas" / "examples" / type_).glob("*.json")]

    assert [faults(example["data"]) for example in examples] == [[]] * len(examples)
    assert faults({**examples[0]["data"], "unknown": 1}) == ["unknown: is not a field of this type"]
    for field in EVENT_TYPES[type_].model_json_schema()["required"]:
        without = {name: value for name, value in examples[0]["data"].items() if name != field}
        assert faults(without) == [f"{field}: is missing"]


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_a_schema_is_compatible_with_itself_and_a_field_less_is_found(type_: str) -> None:
    now = schema_of(EVENT_TYPES[type_])
    name = next(iter(now["properties"]))
    fewer = {**now, "properties": {k: v for k, v in now["properties"].items() if k != name}}

    assert breaks(now, now) == []
    assert [one.field for one in breaks(now, fewer)] == [name]


def test_the_page_shows_every_type_with_its_key_its_topic_and_two_examples() -> None:
    page = (ROOT / "docs" / "events.md").read_text("utf-8")
    by_name = {topic.name: topic for topic in topics()}

    for type_, model in EVENT_TYPES.items():
        section = page.partition(f"### {type_}\n")[2].partition("\n### ")[0]
        topic = by_name[model.topic]
        assert f"Topic `{topic.name}`, key: {topic.key}. Written by {', '.join(topic.producers)}" in section
        assert section.count("```json") == 2
        assert [name for name in model.model_fields if f"| `{name}` |" not in section] == []
