"""docker-compose.yml as Compose itself reads it: by compose-go, the parser that `docker compose` is built on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from datalab.local.layout import cache_dir
from datalab.runtime.settings import PROJECT_ROOT

VERSION = "v2.16.2"
SOURCE = PROJECT_ROOT / "tests" / "support" / "compose_project"
Render = Callable[..., subprocess.CompletedProcess[str]]
SERVICES = {
    "prepare-volumes", "migrations", "topics", "deployments",
    "postgres", "kafka", "s3", "prefect-server", "mlflow", "spark-master", "spark-worker", "spark-connect",
    "worker-etl", "worker-mlops", "ingest", "bridge", "monitor", "notifier", "dashboard", "gateway", "inbox",
    "prefect-creator",
}  # fmt: skip


def go(*words: str, cwd: Path, **environ: str) -> None:
    if shutil.which("go") is None:
        reason = "Go is not installed: docker-compose.yml cannot be read by Compose's own parser"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; install Go 1.24 or later")
        pytest.skip(reason)
    done = subprocess.run(
        ["go", *words], cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"go {' '.join(words)}: {done.stderr}"


@pytest.fixture(scope="session")
def parser() -> Path:
    """The program of tests/support/compose_project: Compose's loading, with its checks."""
    assert f"compose-go/v2 {VERSION}\n" in (SOURCE / "go.mod").read_text("utf-8")
    program = cache_dir() / "compose-go" / VERSION / "compose_project"
    program.parent.mkdir(parents=True, exist_ok=True)
    go("build", "-mod=readonly", "-o", str(program), ".", cwd=SOURCE)
    return program


@pytest.fixture(scope="session")
def module_command() -> Path:
    """The command that the module comes with."""
    folder = cache_dir() / "compose-go" / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    go("install", f"github.com/compose-spec/compose-go/v2/cmd@{VERSION}", cwd=folder, GOBIN=str(folder))
    return folder / "cmd"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what Compose reads, with `.env` and the secrets as `make-secrets` makes them."""
    for name in ("docker-compose.yml", ".env.example", "deploy"):
        source = PROJECT_ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    shutil.rmtree(tmp_path / "deploy" / "secrets", ignore_errors=True)
    subprocess.run([str(tmp_path / "deploy/bin/make-secrets")], capture_output=True, timeout=30, check=True)
    return tmp_path


@pytest.fixture
def render(parser: Path, project: Path) -> Render:
    """Reads the project's file, or another text in its place. No variable but those given and those of `.env`."""

    def rendered(text: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        if text is not None:
            (project / "docker-compose.yml").write_text(text, "utf-8")
        return subprocess.run(
            [str(parser), "docker-compose.yml"],
            cwd=project,
            env={"PATH": os.environ["PATH"], "HOME": str(project), **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return rendered


def model(answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert answer.returncode == 0, answer.stderr
    return dict(json.loads(answer.stdout))


def test_compose_accepts_the_file_and_finds_every_service(render: Render) -> None:
    answer = render()
    assert set(model(answer)["services"]) == SERVICES
    assert "${" not in answer.stdout.replace("$${", ""), "a variable is left unresolved"
    assert answer.stderr == "", "Compose warns"


def test_compose_sees_what_make_secrets_made(render: Render, project: Path) -> None:
    rendered = model(render())
    env = dict(re.findall(r"^([A-Z0-9_]+)=(.+)$", (project / ".env").read_text("utf-8"), re.M))
    assert rendered["services"]["kafka"]["environment"]["CLUSTER_ID"] == env["KAFKA_CLUSTER_ID"]
    assert rendered["services"]["s3"]["environment"]["ROOT_ACCESS_KEY_ID"] == env["S3_ACCESS_KEY_ID"]
    files = [Path(secret["file"]) for secret in rendered["secrets"].values()]
    assert len(files) > 10
    assert all(file.is_file() and file.is_relative_to(project) for file in files)
    assert all(Path(config["file"]).is_file() for config in rendered["configs"].values())


def test_compose_sees_the_guides_limits_and_every_port_on_loopback(render: Render) -> None:
    services = model(render())["services"]
    limits = {name: services[name]["deploy"]["resources"]["limits"] for name in ("worker-etl", "worker-mlops")}
    assert limits == {
        "worker-etl": {"cpus": 2, "memory": str(4 * 1024**3)},
        "worker-mlops": {"cpus": 4, "memory": str(8 * 1024**3)},
    }
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert {"4200", "5000", "8501", "8081", "8082", "8083", "8084", "9092"} <= {port["published"] for port in ports}


def test_a_value_of_the_environment_goes_where_it_belongs(render: Render) -> None:
    services = model(render(DASHBOARD_HOST_PORT="18501", PREFECT_HOST_PORT="14200", DATALAB_WORKER_LOG="/tmp/w.log"))[
        "services"
    ]
    assert services["dashboard"]["ports"][0]["published"] == "18501"
    assert services["dashboard"]["environment"]["PREFECT_UI_URL"] == "http://127.0.0.1:14200"
    assert services["worker-mlops"]["command"][2] == "/tmp/w.log"


def test_compose_refuses_to_start_without_secrets_and_says_how_to_make_them(render: Render, project: Path) -> None:
    (project / ".env").unlink()
    answer = render()
    assert answer.returncode == 1
    for name in ("DATALAB_SECRETS_DIR", "KAFKA_CLUSTER_ID", "S3_ACCESS_KEY_ID"):
        assert f"required variable {name} is missing a value: run deploy/bin/make-secrets" in answer.stderr


@pytest.mark.parametrize(
    ("written", "broken", "reason"),
    [
        ("healthcheck:", "healthchek:", "healthchek"),
        ("topics: {condition:", "topixs: {condition:", "depends on undefined service"),
        ("- home:/data/home", "- hom:/data/home", "undefined volume hom"),
        ("secrets: [database_url]", "secrets: [database_ur]", "undefined secret database_ur"),
        ("{condition: service_healthy}", "{condition: service_well}", "service_healthy"),
        (":-9092}:19092", ":-port}:19092", "Invalid hostPort: port"),
        ("<<: *lab", "<<: *lub", "lub"),
    ],
)
def test_compose_refuses_a_broken_copy(render: Render, project: Path, written: str, broken: str, reason: str) -> None:
    text = (project / "docker-compose.yml").read_text("utf-8")
    assert written in text
    answer = render(text.replace(written, broken))
    assert answer.returncode == 1
    assert reason in answer.stderr


def test_the_parsers_own_command_renders_the_same_services(module_command: Path, render: Render, project: Path) -> None:
    """It drops the environment (in this version), so what is required is written into the file first."""
    expected = model(render())["services"]
    text = (project / "docker-compose.yml").read_text("utf-8")
    env = dict(re.findall(r"^([A-Z0-9_]+)=(.+)$", (project / ".env").read_text("utf-8"), re.M))
    (project / "filled.yml").write_text(re.sub(r"\$\{(\w+):\?[^}]*\}", lambda m: env[m[1]], text), "utf-8")
    done = subprocess.run(
        [str(module_command), "filled.yml"], cwd=project, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    rendered = yaml.safe_load(done.stdout)["services"]
    assert {name: s["image"] for name, s in rendered.items()} == {name: s["image"] for name, s in expected.items()}
    given = {name: s.get("environment") or {} for name, s in rendered.items()}
    assert given == {name: s.get("environment") or {} for name, s in expected.items()}
