"""The shell scripts of the deployment, run for real in a folder of their own."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from services.notifier.settings import NotifierSettings
from services.notifier.signing import secret_fault


def run(argv: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """What make-secrets needs of a project."""
    (tmp_path / "deploy/bin").mkdir(parents=True)
    shutil.copy(root / "deploy/bin/make-secrets", tmp_path / "deploy/bin")
    shutil.copy(root / ".env.example", tmp_path)
    return tmp_path


def make_secrets(project: Path, *arguments: str) -> dict[str, str]:
    done = run([str(project / "deploy/bin/make-secrets"), *arguments])
    assert done.returncode == 0, done.stderr
    values = {file.name: file.read_text("utf-8") for file in (project / "deploy/secrets").iterdir()}
    assert not [value for value in values.values() if value and value in done.stderr + done.stdout]
    return values


def test_secrets_are_random_and_fit_together(project: Path) -> None:
    made = make_secrets(project)
    passwords = [value for name, value in made.items() if name.startswith("postgres_")]
    assert len(set(passwords)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in passwords)
    url = f"postgresql+asyncpg://datalab:{made['postgres_datalab_password']}@postgres:5432/datalab"
    assert made["database_url"] == url
    assert made["prefect_database_url"] == url.replace("datalab:", "prefect:").replace("/datalab", "/prefect").replace(
        made["postgres_datalab_password"], made["postgres_prefect_password"]
    )
    assert secret_fault(made["alert_webhook_secret"]) is None
    assert made["slack_webhook_url"] == ""


def test_a_second_run_changes_nothing(project: Path) -> None:
    first, environment = make_secrets(project), (project / ".env").read_text("utf-8")
    assert make_secrets(project) == first
    assert (project / ".env").read_text("utf-8") == environment


def test_the_inbox_is_put_where_there_is_no_receiver_yet_and_only_there(project: Path) -> None:
    first = make_secrets(project)
    (project / "deploy/secrets/slack_webhook_url").write_text("https://hooks.slack.example/x")
    second = make_secrets(project, "--inbox")
    assert second["slack_webhook_url"] == "https://hooks.slack.example/x"
    assert second["teams_webhook_url"].startswith("http://inbox:8025/teams/")
    assert second["database_url"] == first["database_url"]


def test_the_environment_file_is_complete(project: Path) -> None:
    make_secrets(project)
    values = dict(re.findall(r"^([A-Z0-9_]+)=(.+)$", (project / ".env").read_text("utf-8"), re.M))
    assert set(values) == {"DATALAB_SECRETS_DIR", "KAFKA_CLUSTER_ID", "S3_ACCESS_KEY_ID"}
    assert values["DATALAB_SECRETS_DIR"] == "./deploy/secrets"
    assert len(base64.urlsafe_b64decode(values["KAFKA_CLUSTER_ID"] + "==")) == 16


def test_only_its_user_gets_into_the_folder_but_any_container_can_read_a_file(project: Path) -> None:
    make_secrets(project)
    folder = project / "deploy/secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}


def test_our_settings_read_the_files_that_are_made(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_secrets(project)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    settings = NotifierSettings(_env_file=None, _secrets_dir=project / "deploy/secrets")
    assert settings.database_url == made["database_url"]
    assert not settings.smtp_password


def test_with_secrets_hands_over_the_value_or_says_what_is_missing(root: Path, tmp_path: Path) -> None:
    script = str(root / "deploy/bin/with-secrets")
    (tmp_path / "some_password").write_text("a b$c\n")
    (tmp_path / "no_password").write_text("")
    show = ["sh", "-c", 'printf %s "$SOME_PASSWORD"']
    done = run([script, "SOME_PASSWORD", *show], SECRETS_FOLDER=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "a b$c")
    for name in ("NO_PASSWORD", "OTHER_PASSWORD"):
        refused = run([script, f"SOME_PASSWORD,{name}", "true"], SECRETS_FOLDER=str(tmp_path))
        assert refused.returncode == 1
        assert name.lower() in refused.stderr
