"""Which addresses' certificates are looked at."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from flows.watch.certificates import certificate_addresses
from flows.watch.settings import WatchSettings


def settings(monkeypatch: pytest.MonkeyPatch, **environ: str) -> WatchSettings:
    for name in WatchSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return WatchSettings(_env_file=None)  # type: ignore[call-arg] # pydantic-settings' own argument


def test_every_https_address_and_what_is_named_besides_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert certificate_addresses(settings(monkeypatch)) == {}
    named = settings(
        monkeypatch,
        MLFLOW_TRACKING_URI="https://user:secret@mlflow.example/x",
        PREFECT_API_URL="https://prefect.example:8443/api",
        MINIO_ENDPOINT="https://s3.example",
        INGEST_URL="http://ingest.example",
        WATCH_CERTIFICATES="lab.example, lab.example:8443 ,s3.example:443,[::1]:9443",
    )
    assert set(certificate_addresses(named)) == {
        "mlflow.example:443", "prefect.example:8443", "s3.example:443", "lab.example:443", "lab.example:8443",
        "::1:9443",
    }  # fmt: skip


@pytest.mark.parametrize("wrong", ["lab.example:x", "https://lab.example", "lab.example:0", ":443", "a/b"])
def test_what_is_no_address_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    with pytest.raises(ValidationError, match="must be HOST or HOST:PORT"):
        settings(monkeypatch, WATCH_CERTIFICATES=wrong)
