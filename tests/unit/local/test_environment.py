"""The environment of the lab's processes: its own addresses, and nothing of another Prefect or Spark."""

from __future__ import annotations

from pathlib import Path

from datalab.local.databases import database_of, sibling, with_database
from datalab.local.environment import lab_environment
from datalab.local.layout import LabLayout
from datalab.local.marked import LAB_MARK

PORTS = {
    "kafka": 19092,
    "prefect": 14200,
    "mlflow": 15000,
    "spark": 25002,
    "ingest": 18081,
    "monitor": 18083,
    "dashboard": 18501,
    "inbox": 18025,
    "inbox-smtp": 11025,
}


def environment(tmp_path: Path, **inherited: str) -> dict[str, str]:
    return lab_environment(LabLayout.at(tmp_path), PORTS, "postgresql+asyncpg://u:p@h/datalab", inherited)


def test_addresses_follow_the_ports(tmp_path: Path) -> None:
    env = environment(tmp_path)

    assert env["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:19092"
    assert env["PREFECT_API_URL"] == "http://127.0.0.1:14200/api"
    assert env["SPARK_REMOTE"] == "sc://127.0.0.1:25002"
    assert env["INBOX_HTTP_PORT"] == "18025"
    assert env["DASHBOARD_PORT"] == "18501"
    assert (env["MONITOR_URL"], env["DASHBOARD_URL"]) == ("http://127.0.0.1:18083", "http://127.0.0.1:18501")
    assert env["DATALAB_HOME"] == str(tmp_path)
    assert env[LAB_MARK] == LabLayout.at(tmp_path).lab_id


def test_the_bridge_is_told_of_the_labs_own_creators_of_runs_and_of_no_other(tmp_path: Path) -> None:
    inherited = {"BRIDGE_PREFECT_CREATORS": "http://elsewhere:4201/api"}
    ports = {**PORTS, "prefect-creator": 14201, "prefect-creator-2": 14202}
    env = lab_environment(LabLayout.at(tmp_path), ports, "postgresql+asyncpg://u:p@h/datalab", inherited)
    assert env["BRIDGE_PREFECT_CREATORS"] == "http://127.0.0.1:14201/api,http://127.0.0.1:14202/api"
    assert "BRIDGE_PREFECT_CREATORS" not in environment(tmp_path, **inherited)


def test_what_the_shell_says_of_another_prefect_or_spark_does_not_reach_the_lab(tmp_path: Path) -> None:
    env = environment(
        tmp_path,
        PREFECT_API_KEY="secret",
        PREFECT_API_URL="https://elsewhere/api",
        SPARK_HOME="/opt/spark",
        PREFECT_PROFILE="cloud",
        JAVA_TOOL_OPTIONS="-Dx",
        KEPT="yes",
    )

    assert "PREFECT_API_KEY" not in env
    assert "PREFECT_PROFILE" not in env
    assert "SPARK_HOME" not in env
    assert env["PREFECT_API_URL"].startswith("http://127.0.0.1:")
    assert env["KEPT"] == "yes"


def test_local_addresses_bypass_a_proxy(tmp_path: Path) -> None:
    env = environment(tmp_path, HTTP_PROXY="http://proxy:3128", no_proxy="example.org")

    assert env["NO_PROXY"].split(",") == ["example.org", "127.0.0.1", "localhost", "::1"]
    assert env["no_proxy"] == env["NO_PROXY"]


def test_names_with_accents_work_whatever_the_locale(tmp_path: Path) -> None:
    assert environment(tmp_path, LANG="C")["LC_ALL"] == "C.UTF-8"
    assert "LC_ALL" not in environment(tmp_path, LANG="pt_BR.UTF-8")


def test_the_lake_may_lie_elsewhere(tmp_path: Path) -> None:
    assert environment(tmp_path)["LAKE_ROOT"] == str(tmp_path / "lake")
    assert environment(tmp_path, LAKE_ROOT="s3a://lake")["LAKE_ROOT"] == "s3a://lake"


def test_databases_beside_ours_are_named_after_it() -> None:
    url = "postgresql+asyncpg://postgres@/datalab?host=/run/x"

    assert sibling(url, "prefect") == "postgresql+asyncpg://postgres@/prefect?host=/run/x"
    assert database_of(sibling(with_database(url, "test 1"), "prefect")) == "test 1_prefect"
    assert database_of(url) == "datalab"


def test_messages_go_to_the_inbox_unless_the_user_named_a_receiver(tmp_path: Path) -> None:
    layout = LabLayout.at(tmp_path)
    ports = {"inbox": 8025, "inbox-smtp": 1025}
    ours = lab_environment(layout, ports, "", {})
    assert ours["SLACK_WEBHOOK_URL"].startswith("http://127.0.0.1:8025/")
    assert ours["SMTP_PORT"] == "1025"
    theirs = {"SLACK_WEBHOOK_URL": "https://slack.example/x", "SMTP_HOST": "mail.example"}
    mixed = lab_environment(layout, ports, "", theirs)
    assert mixed["SLACK_WEBHOOK_URL"] == "https://slack.example/x"
    assert (mixed["SMTP_HOST"], "SMTP_PORT" in mixed) == ("mail.example", False)
    assert mixed["ALERT_WEBHOOK_SECRET"] == ours["ALERT_WEBHOOK_SECRET"]
    assert (tmp_path / "alert-webhook.secret").stat().st_mode & 0o077 == 0


def test_a_mail_server_left_empty_is_none_so_mail_goes_to_the_inbox(tmp_path: Path) -> None:
    env = lab_environment(LabLayout.at(tmp_path), {"inbox": 8025, "inbox-smtp": 1025}, "", {"SMTP_HOST": ""})
    assert (env["SMTP_HOST"], env["SMTP_PORT"]) == ("127.0.0.1", "1025")
