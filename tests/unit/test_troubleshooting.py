"""The pages on trouble: their commands, logs and variables exist, and both languages have the same ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main
import yaml

from datalab.cli.main import build_app
from datalab.local.plan import all_parts

ROOT = Path(__file__).parents[2]
PAGES = {"en": ROOT / "docs/troubleshooting.md", "pt": ROOT / "docs/troubleshooting.pt-BR.md"}
_COMMENT = re.compile(r"\s+#.*$", re.M)


def code(language: str) -> list[str]:
    """Every line of code and every piece of it in a sentence, without comments."""
    text = PAGES[language].read_text("utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.S))
    return [line.strip() for block in blocks for line in _COMMENT.sub("", block).splitlines() if line.strip()] + inline


def test_both_languages_have_the_same_commands_and_names() -> None:
    assert sorted(set(code("en"))) == sorted(set(code("pt")))


def test_both_languages_have_the_guides_problems_and_logs() -> None:
    sections = {language: re.findall(r"^## (.+)$", page.read_text("utf-8"), re.M) for language, page in PAGES.items()}
    assert len(sections["en"]) == len(sections["pt"]) == 9
    assert sections["pt"][:4] == [
        "O worker não conecta ao servidor",
        "O fluxo não executa no horário",
        "Falhas de memória em fluxos MLOps",
        "Fluxo travado",
    ]


def test_every_datalab_command_exists() -> None:
    group = typer.main.get_command(build_app())
    found = [words for line in code("en") for words in re.findall(r"\bdatalab ((?:[a-z]+ ?)+)", line)]
    assert len(found) > 10
    for words in found:
        command = group
        for word in words.split():
            commands = getattr(command, "commands", {})
            assert not commands or word in commands, f"datalab {words}"
            command = commands.get(word, command)


def test_every_log_is_that_of_a_part() -> None:
    parts = {part.name for part in all_parts()} | {"supervisor"}
    named = {name for line in code("en") for name in re.findall(r"(?:^|[/ ])([a-z-]+)\.log$", line)}
    assert {"prefect", "etl-worker", "mlops-worker", "spark", "ingest", "dashboard"} <= named
    assert named - {"prefect-worker"} <= parts


def test_every_service_in_containers_exists() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    verbs = r"(?:logs -f|restart|ps|exec|up(?! -d))"
    for line in code("en"):
        for words in re.findall(rf"docker compose {verbs} ([a-z -]+)", line):
            named = words.split()[:1] if " exec " in line else words.split()
            assert set(named) <= set(services), line


@pytest.mark.parametrize("variable", ["MLOPS_WORKER_MEMORY", "DATALAB_WORKER_LOG", "DATALAB_TASK_RETRIES"])
def test_variables_of_the_page_are_in_the_example(variable: str) -> None:
    assert any(variable in line for line in code("en"))
    assert re.search(rf"^#?{variable}=", (ROOT / ".env.example").read_text("utf-8"), re.M)
