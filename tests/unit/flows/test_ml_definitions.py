"""Models as data, the flow's parameters, quick registration, and what follows a new Gold and an unusual score."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from prefect.exceptions import ParameterTypeError

from datalab.runtime.settings import PROJECT_ROOT
from flows.config import DEPLOYMENTS, FlowSettings
from flows.lake.datasets import load_datasets
from flows.ml import definitions
from flows.ml.definitions import choose_definition, code_version, load_definitions
from flows.ml.errors import DefinitionError
from flows.mlops_flow import mlops_training_pipeline
from schemas.datasets import DatasetUpdated
from schemas.envelope import new_event
from schemas.models import ScoreUnusual
from services.bridge.decisions import decide
from services.bridge.rule_files import load_rules
from services.bridge.templates import Occasion
from services.monitor.rule_file import read_rules
from services.monitor.wording import Pages, word

MODELS = PROJECT_ROOT / "config" / "models.yaml"
GOOD = MODELS.read_text()


def test_the_shipped_models_fit_the_shipped_datasets() -> None:
    datasets = load_datasets(PROJECT_ROOT / "config" / "datasets.yaml")
    for definition in load_definitions(FlowSettings().models_file):
        gold = datasets[definition.dataset].gold[definition.gold]
        assert set(definition.columns) <= {*gold.group_by, *gold.aggregates}
    with pytest.raises(DefinitionError, match=r"no model .* dataset='stocks' with gold='x'; defined are: dataset='sto"):
        choose_definition(load_definitions(MODELS), "stocks", "x")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("value: close_last", "valeu: close_last", "model 'stocks-return': value: Field required"),
        ("min_rows: 100", "min_rows: 3", "model 'stocks-return': min_rows: Input should be greater"),
        ("[volume_total,", "[close_last,", "must be different columns"),
        ("stocks-return:", "Stocks Return:", "model 'Stocks Return': name: String should match"),
        ("  dataset: stocks", "dataset", "cannot be read"),
        (GOOD, "- 1", "must define at least one model"),
        (GOOD, "stocks-return: 1", "model 'stocks-return' must be a mapping"),
    ],
)
def test_a_mistake_in_the_file_names_model_and_field(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(DefinitionError) as raised:
        load_definitions(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_the_code_version_changes_with_the_definition_and_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [definition] = load_definitions(MODELS)
    version = code_version(definition)
    assert code_version(definition) == version
    assert code_version(definition.model_copy(update={"context": ()})) != version
    for name in definitions._MAKERS:
        (tmp_path / name).write_bytes((Path(definitions.__file__).parent / name).read_bytes())
    monkeypatch.setattr(definitions, "__file__", str(tmp_path / "definitions.py"))
    assert code_version(definition) == version
    (tmp_path / "candidates.py").write_text("other")
    assert code_version(definition) != version


def test_it_is_deployed_as_promised_and_registering_it_is_quick() -> None:
    deployment = {d.full_name: d for d in DEPLOYMENTS}["mlops-training/mlops-training-weekly"]
    assert (deployment.cron, deployment.pool) == ("0 2 * * 0", "mlops-pool")
    code = (
        "import sys, mlops_flow as m; print(m.mlops_training_pipeline.name, "
        "[name for name in ('mlflow', 'sklearn', 'pandas', 'pyspark') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT / "flows", capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "mlops-training []"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("data_version", -1),
        ("data_version", "newest"),
        ("min_new_rows", "many"),
        ("min_new_rows", -1),
        ("promote_threshold", 1),
        ("promote_threshold", -0.1),
        ("score_threshold", 0),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(parameter: str, value: Any) -> None:
    with pytest.raises(ParameterTypeError, match=parameter):
        mlops_training_pipeline.validate_parameters({parameter: value})


def updated(layer: Literal["silver", "gold"], table: str, dataset: str = "stocks") -> Any:
    data = DatasetUpdated(dataset=dataset, layer=layer, table=table, version=7, rows_in=1, rows_written=1)
    return new_event(data, source="/test")


def test_a_new_gold_of_stocks_starts_a_training_with_its_version_and_nothing_else_does() -> None:
    [rule] = [r for r in load_rules(PROJECT_ROOT / "config" / "rules").rules if r.name == "gold-updated-training"]
    decision = decide(rule, updated("gold", "/my lake/gold/stocks_monthly"))
    assert decision.outcome == "matched"
    parameters = rule.parameters.render(Occasion([updated("gold", "/my lake/gold/stocks_monthly")]))
    assert parameters == {"dataset": "stocks", "gold": "stocks_monthly", "data_version": 7, "min_new_rows": 50}
    mlops_training_pipeline.validate_parameters(parameters)
    choose_definition(load_definitions(MODELS), parameters["dataset"], parameters["gold"])
    assert rule.spec.run.deployment in {deployment.full_name for deployment in DEPLOYMENTS}
    for other in (
        updated("silver", "/lake/silver/stocks"),
        updated("gold", "/lake/gold/stocks_yearly"),
        updated("gold", "/lake/gold/eventos", "eventos"),
    ):
        assert decide(rule, other).outcome == "condition"


def test_the_alert_of_an_unusual_value_says_what_was_seen_and_expected() -> None:
    [rule] = [r for r in read_rules(PROJECT_ROOT / "config" / "alerts.yaml").rules if r.name == "unusual-value"]
    assert (rule.severity, rule.labels, rule.resolved_by) == (
        "warning",
        ("dataset", "entity"),
        ("lab.score.normal.v1",),
    )
    data = ScoreUnusual(
        name="stocks-return",
        version="3",
        dataset="stocks",
        entity="FB",
        period="2013-03-01",
        observed=83.5,
        predicted=-0.117,
        score=10.19,
        threshold=4.0,
        data_version=7,
    )
    wording = word(
        rule, new_event(data, source="/test"), {"dataset": "stocks", "entity": "FB"}, pages=Pages("http://p")
    )
    assert wording.summary == "Unusual value in stocks: FB changed by 83.5 %, -0.1 % was expected (score 10.2)"
    assert "template_error" not in wording.annotations
    assert wording.annotations["score"] == "10.19"
    page, _, anchor = str(rule.runbook).partition("#")
    assert f"### {anchor}" in (PROJECT_ROOT / page).read_text("utf-8")
