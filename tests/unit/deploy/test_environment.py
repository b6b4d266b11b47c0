"""What containers are told is what the code reads, and every address in it leads to a service that listens there."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import flows
from datalab.local.inbox.settings import InboxSettings
from datalab.prefect_kafka.settings import BrokerSettings
from datalab.runtime.settings import LabSettings
from schemas.catalog import topics
from services.bridge.settings import BridgeSettings
from services.dashboard.settings import DashboardSettings
from services.ingest.settings import IngestSettings
from services.monitor.settings import MonitorSettings
from services.notifier.settings import NotifierSettings

Services = dict[str, dict[str, Any]]
SETTINGS: dict[str, type[LabSettings]] = {
    "ingest": IngestSettings,
    "bridge": BridgeSettings,
    "monitor": MonitorSettings,
    "notifier": NotifierSettings,
    "dashboard": DashboardSettings,
    "inbox": InboxSettings,
    "migrations": LabSettings,
    "topics": LabSettings,
    "prepare-volumes": LabSettings,
}
FLOWS = ("worker-etl", "worker-mlops", "deployments")
SPARK = {"SPARK_HOME", "SPARK_CONF_DIR", "SPARK_LOCAL_DIRS", "SPARK_DAEMON_MEMORY"}
PORTS = {"ingest": 8081, "bridge": 8082, "monitor": 8083, "notifier": 8084}
_ADDRESS = re.compile(r"(?<![\w.-])([a-z][a-z0-9-]*):(\d{2,5})\b")
_HERE = {"localhost"}


def names_read_by(settings: type[LabSettings]) -> set[str]:
    """The variables that a settings class reads."""
    return {str(f.validation_alias or name).upper() for name, f in settings.model_fields.items()}


def names_read_by_flows() -> set[str]:
    """The variables that any settings class below flows/ reads."""
    for module in pkgutil.walk_packages(flows.__path__, "flows."):
        importlib.import_module(module.name)
    pending, found = [LabSettings], set[type[LabSettings]]()
    while pending:
        found |= (subclasses := set(pending.pop().__subclasses__()) - found)
        pending += subclasses
    return {name for cls in found if cls.__module__.startswith("flows.") for name in names_read_by(cls)}


def names_of_receivers(root: Path) -> set[str]:
    """The variables that config/notify.yaml names."""
    receivers = yaml.safe_load((root / "config/notify.yaml").read_text("utf-8"))["receivers"]
    return {value for receiver in receivers for key, value in receiver.items() if key.endswith("_env")}


def secrets_of(service: dict[str, Any]) -> set[str]:
    """File names below /run/secrets."""
    return {s if isinstance(s, str) else s["target"] for s in service.get("secrets", [])}


def listens_on(name: str, service: dict[str, Any]) -> set[int]:
    """The ports inside the network that a service can be reached at."""
    if name in SETTINGS and (field := SETTINGS[name].model_fields.get(f"{name}_port")):
        return {field.default}
    if name == "inbox":
        return {InboxSettings.model_fields[f].default for f in ("inbox_http_port", "inbox_smtp_port")}
    if name == "postgres":
        return {5432}
    words = " ".join([*map(str, service.get("command", [])), *map(str, service.get("environment", {}).values())])
    found = re.findall(r"--port[= ](\d+)|binding\.port=(\d+)|[A-Z]+://:(\d+)|(?:^| ):(\d+)", words)
    return {int(number) for match in found for number in match if number}


def addresses(services: Services, root: Path) -> Iterator[tuple[str, str, int]]:
    """Every host:port that any service is given: who, host, port."""
    for name, service in services.items():
        words = [*service.get("command", []), *service.get("environment", {}).values()]
        for word in words:
            for host, port in _ADDRESS.findall(str(word)):
                yield name, host, int(port)
    for file in ("deploy/gateway/nginx.conf", "deploy/bin/make-secrets", ".env.example"):
        for host, port in _ADDRESS.findall((root / file).read_text("utf-8")):
            yield file, host, int(port)


def test_every_variable_of_our_processes_is_one_their_settings_read(services: Services, root: Path) -> None:
    ours = {name for name, s in services.items() if s["image"].startswith("datalab:")}
    others = {"prefect-server", "prefect-creator", "mlflow", "spark-master", "spark-worker", "spark-connect", *FLOWS}
    assert ours == set(SETTINGS) | others
    for name, settings in SETTINGS.items():
        known = names_read_by(settings) | (names_of_receivers(root) if name == "notifier" else set())
        given = set(services[name].get("environment", {})) | {s.upper() for s in secrets_of(services[name])}
        assert given <= known, name


def test_every_variable_of_flows_and_prefect_is_one_they_read(services: Services, root: Path) -> None:
    import prefect.settings

    internal = re.findall(r"PREFECT__\w+", (root / "datalab/local/parts/prefect.py").read_text("utf-8"))
    for name in (*FLOWS, "prefect-server", "prefect-creator"):
        given = set(services[name]["environment"]) | {s.upper() for s in secrets_of(services[name])}
        # The server's messaging broker is ours, and reads the lab's settings.
        ours = names_read_by_flows() if name in FLOWS else names_read_by(BrokerSettings)
        unknown = given - set(internal) - ours
        assert [n for n in sorted(unknown) if not n.startswith("PREFECT_") or not hasattr(prefect.settings, n)] == []


def test_every_variable_of_mlflow_and_spark_is_one_they_read(services: Services) -> None:
    spec = importlib.util.find_spec("mlflow")
    assert spec
    assert spec.origin
    declared = (Path(spec.origin).parent / "environment_variables.py").read_text("utf-8")
    for name in services["mlflow"]["environment"]:
        assert f'"{name}"' in declared
    for name in ("spark-master", "spark-worker", "spark-connect"):
        # With SPARK_REMOTE a server takes itself for a client, and ends.
        assert set(services[name]["environment"]) <= SPARK


def test_every_address_leads_to_a_service_that_listens_there(services: Services, root: Path) -> None:
    found = [(who, host, port) for who, host, port in addresses(services, root) if host not in _HERE]
    assert len(found) > 20
    for who, host, port in found:
        assert host in services, f"{who}: {host}:{port}"
        assert port in listens_on(host, services[host]), f"{who}: {host} does not listen on {port}"


def test_our_services_listen_beyond_their_container_and_are_asked_at_their_port(services: Services) -> None:
    for name, port in PORTS.items():
        assert services[name]["environment"]["DATALAB_HOST"] == "0.0.0.0"
        assert listens_on(name, services[name]) == {port}
        assert services[name]["healthcheck"]["test"][-1] == f"http://127.0.0.1:{port}/readyz"


def test_the_dashboard_listens_beyond_its_container_and_knows_where_the_services_are(services: Services) -> None:
    environment = services["dashboard"]["environment"]
    assert environment["DATALAB_HOST"] == "0.0.0.0"
    assert services["dashboard"]["healthcheck"]["test"][-1] == "http://127.0.0.1:8501/_stcore/health"
    assert services["dashboard"]["ports"] == ["127.0.0.1:8501:8501"]
    asked = {name: port for name, port in PORTS.items() if f"{name}_url" in DashboardSettings.model_fields}
    assert set(asked) >= {"bridge", "monitor", "notifier"}
    given = {name: environment.get(f"{name.upper()}_URL") for name in asked}
    assert given == {name: f"http://{name}:{port}" for name, port in asked.items()}


def test_flows_know_where_every_service_is_that_monitoring_asks(services: Services) -> None:
    for name in FLOWS:
        given = {n: services[name]["environment"].get(f"{n.upper()}_URL") for n in (*PORTS, "dashboard")}
        assert given == {n: f"http://{n}:{p}" for n, p in {**PORTS, "dashboard": 8501}.items()}


def test_reports_backups_and_locks_are_on_volumes(services: Services) -> None:
    for name in ("worker-etl", "worker-mlops"):
        mounts = {v.split(":")[1] for v in services[name]["volumes"]}
        environment = services[name]["environment"]
        assert {environment["DATALAB_HOME"], environment["DATALAB_BACKUP_DIR"]} <= mounts, name


def test_links_to_prefect_follow_its_port_on_the_host(compose: Any) -> None:
    for name in ("bridge", "monitor", "dashboard"):
        assert compose.model["services"][name]["environment"]["PREFECT_UI_URL"].endswith(":${PREFECT_HOST_PORT:-4200}")


def test_the_gateway_gives_each_service_its_own_port(services: Services, root: Path) -> None:
    conf = (root / "deploy/gateway/nginx.conf").read_text("utf-8")
    routes = re.findall(
        r"listen (\d+); location / \{ set \$service ([a-z]+):(\d+);\s+proxy_pass http://\$service;", conf
    )
    assert {name: int(inside) for outside, name, inside in routes if outside == inside} == PORTS
    assert {int(p.rsplit(":")[-1]) for p in services["gateway"]["ports"]} == set(PORTS.values())


def test_kafka_tells_containers_and_the_host_an_address_that_works_for_each(services: Services) -> None:
    env = services["kafka"]["environment"]
    listeners = dict(part.split("://") for part in env["KAFKA_LISTENERS"].split(","))
    advertised = dict(part.split("://") for part in env["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert advertised["INTERNAL"] == f"kafka{listeners['INTERNAL']}"
    host_port = advertised["HOST"].removeprefix("127.0.0.1:")
    assert f"127.0.0.1:{host_port}{listeners['HOST']}" in services["kafka"]["ports"]
    assert set(listeners) == {p.split(":")[0] for p in env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    assert env["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_s3_store_reports_to_a_topic_that_exists(services: Services) -> None:
    assert services["s3"]["environment"]["VGW_EVENT_KAFKA_TOPIC"] in {topic.name for topic in topics()}


def test_the_browser_gets_an_address_of_prefect_that_it_can_reach(services: Services) -> None:
    (published,) = services["prefect-server"]["ports"]
    host_port = published.split(":")[1]
    assert services["prefect-server"]["environment"]["PREFECT_SERVER_UI_API_URL"] == f"http://127.0.0.1:{host_port}/api"


def test_mlflow_answers_to_the_name_that_its_clients_use(services: Services) -> None:
    for name in ("worker-etl", "worker-mlops"):
        host = services[name]["environment"]["MLFLOW_TRACKING_URI"].removeprefix("http://")
        assert host in services["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")


def test_who_names_a_file_and_who_opens_it_see_it_at_one_path(services: Services) -> None:
    sharing = ("ingest", "worker-etl", "worker-mlops", "spark-worker", "spark-connect")
    for name in sharing:
        mounts = dict(v.split(":")[:2] for v in services[name]["volumes"] if ":" in v)
        assert mounts["landing"] == "/data/landing", name
        assert name == "ingest" or mounts["lake"] == "/data/lake", name
        environment = services[name].get("environment", {})
        assert environment.get("LANDING_DIR", "/data/landing") == mounts["landing"]
        assert environment.get("LAKE_ROOT", "/data/lake") == "/data/lake"
    homes = {services[name]["environment"]["DATALAB_HOME"] for name in ("worker-etl", "worker-mlops")}
    # Locks between runs are files below the home: all workers must see the same.
    assert homes == {"/data/home"}
    assert all("home:/data/home" in services[name]["volumes"] for name in ("worker-etl", "worker-mlops"))
    assert services["deployments"]["environment"]["LANDING_DIR"] == "/data/landing"


def test_no_secret_is_in_the_environment(services: Services) -> None:
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            telling = re.search(r"PASSWORD|SECRET|TOKEN|DATABASE_URL|CONNECTION_URL|WEBHOOK_URL", variable)
            assert not telling or str(value).startswith("/run/secrets/"), f"{name}: {variable}"
            assert not re.search(r"://[^/@\s]+:[^/@\s]+@", str(value)), f"{name}: {variable}"


def test_who_needs_the_database_has_its_secret(services: Services) -> None:
    having = {name for name, service in services.items() if "database_url" in secrets_of(service)}
    assert having == {"ingest", "bridge", "monitor", "notifier", "migrations", "worker-etl"}


def test_the_notifier_has_every_secret_of_its_receivers(services: Services, root: Path) -> None:
    assert "SMTP_PASSWORD" in names_read_by(NotifierSettings)
    secret = {n.lower() for n in names_of_receivers(root) if not n.startswith("ALERT_EMAIL")} | {"smtp_password"}
    assert secret <= secrets_of(services["notifier"])
    open_names = {n for n in names_of_receivers(root) if n.lower() not in secret}
    assert open_names <= set(services["notifier"]["environment"])


@pytest.mark.parametrize("name", ["spark.sql.extensions", "spark.sql.catalog.spark_catalog"])
def test_spark_in_containers_has_delta_as_the_local_lab_has_it(root: Path, name: str) -> None:
    lines = (root / "deploy/spark/spark-defaults.conf").read_text("utf-8").splitlines()
    values = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert f'"{name}": "{values[name]}"' in (root / "datalab/local/parts/spark.py").read_text("utf-8")
    assert values["spark.driver.extraClassPath"] == values["spark.executor.extraClassPath"]
    assert f" {values['spark.driver.extraClassPath'].removesuffix('/delta/*')}\n" in (root / "Dockerfile").read_text(
        "utf-8"
    )
