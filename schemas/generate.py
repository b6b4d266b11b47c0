"""Writes what is generated from the models and topics, or with `--check` says what is not as it should be.

`python -m schemas.generate [--check]`, from the project's folder. Refuses what breaks with a published version.
"""

from __future__ import annotations

import sys
from pathlib import Path

from schemas.catalog import EVENT_TYPES
from schemas.generation import asyncapi, events_page, seals
from schemas.generation.json_schemas import as_text, incompatible, schema_of, unpublished

ROOT = Path(__file__).parents[1]


def generated(root: Path) -> dict[str, str]:
    """By path below `root`, the text that each generated file must have."""
    new = {path: as_text(schema) for path, schema in unpublished(root).items()}
    return {
        **{f"schemas/json/{type_}.json": as_text(schema_of(model)) for type_, model in EVENT_TYPES.items()},
        **new,
        seals.SEALS: seals.as_text(root, new),
        "asyncapi.yaml": asyncapi.as_text(),
        "docs/events.md": events_page.as_text(),
    }


def breaking(root: Path) -> list[str]:
    """A line for each break with a version that was published, and for each such version that was changed."""
    return seals.broken(root) + [f"{type_}: {one}" for type_, breaks in incompatible(root).items() for one in breaks]


def drift(root: Path) -> list[str]:
    """A line for each file that is not as it would be generated now, or that no type has any more."""
    wanted = generated(root)
    lines = [f"{path}: is out of date; run `make contracts`" for path in wanted if _read(root / path) != wanted[path]]
    stale = {f"schemas/json/{path.name}" for path in (root / "schemas" / "json").glob("*.json")} - wanted.keys()
    return lines + [f"{path}: is of no type; remove it" for path in sorted(stale)]


def main(arguments: list[str], root: Path = ROOT) -> int:
    """0 if all is well; 1, with the reasons on stderr, if a type breaks or, with `--check`, a file is out of date."""
    check = arguments == ["--check"]
    if arguments and not check:
        return _failed(["usage: python -m schemas.generate [--check]"])
    if faults := [*breaking(root), *(drift(root) if check else [])]:
        return _failed(faults)
    for path, text in generated(root).items():
        if _read(root / path) != text:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, "utf-8")
            sys.stdout.write(f"{path}: written\n")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None


def _failed(lines: list[str]) -> int:
    sys.stderr.write("\n".join(lines) + "\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
