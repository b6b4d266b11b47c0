"""The way to MLflow: asked first whether it is there, with little patience, and its errors in plain words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from flows.ml.errors import MLflowRefusedError, MLflowUnavailableError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

_PROBE_S = 5.0
# MLflow's client retries seven times for up to two minutes each; the flow has retries of its own. What is set stays.
_MANNERS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# Answers that mean: not now. The first is what its client gives to a connection that broke.
_PASSING = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED")


@contextmanager
def mlflow_at(uri: str) -> Iterator[MlflowClient]:
    """A client, with MLflow's own functions directed to the same server.

    Raises MLflowUnavailableError within seconds if nothing answers, and for what MLflow says within the block that or
    MLflowRefusedError.
    """
    _probe(uri)
    for name, value in _MANNERS.items():
        os.environ.setdefault(name, value)
    import mlflow
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        yield mlflow.MlflowClient(uri, uri)
    except RequestException as error:
        raise _unavailable(uri, f"broke off ({type(error).__name__})") from error
    except MlflowException as error:
        raise _plain(uri, error) from error


def _probe(uri: str) -> None:
    if not uri.startswith(("http://", "https://")):
        return  # a store that is opened here; MLflow says by itself what is wrong with it
    try:
        status = httpx.get(f"{uri.rstrip('/')}/health", timeout=_PROBE_S, follow_redirects=True).status_code
    except httpx.HTTPError as error:
        raise _unavailable(uri, f"does not answer ({type(error).__name__})") from error
    if status >= 500:
        raise _unavailable(uri, f"answers {status}")


def _unavailable(uri: str, what: str) -> MLflowUnavailableError:
    return MLflowUnavailableError(
        f"MLflow at {_shown(uri)} {what}; start it (`datalab up`) or correct MLFLOW_TRACKING_URI"
    )


def _plain(uri: str, error: MlflowException) -> MLflowUnavailableError | MLflowRefusedError:
    if error.error_code in _PASSING:
        return _unavailable(uri, f"failed: {str(error)[:300]}")
    return MLflowRefusedError(f"MLflow at {_shown(uri)} refuses: {str(error)[:300]}")


def _shown(uri: str) -> str:
    """The address without a password."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
