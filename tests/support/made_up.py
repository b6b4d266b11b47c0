"""Requests that are made up from what a service says of itself, valid ones and wrong ones: each has to be answered in
time, none with 5xx, and each refusal as a problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.schemas import OpenApiSchema

# Method and path, as the description has it.
Operation = tuple[str, str]
Answers = dict[Operation, Counter[int]]


def described(url: str) -> OpenApiSchema:
    """The description that the service at `url` serves, for requests without tokens.

    Made-up tokens would be all that is ever judged: one that is sent is checked also where none is needed.
    """
    generation = GenerationConfig(with_security_parameters=False)
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    return schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)


def ask_everything(url: str, examples: Callable[[Operation], int], known: Mapping[str, str]) -> Answers:
    """So many requests of each operation; how often each was answered with which status. Where a path has a name in it
    that is `known` (by path), as many more are about that which there is."""
    met: Answers = {}
    for found in described(url).get_all_operations():
        operation = found.ok()
        name = (operation.method.upper(), operation.path)
        met[name] = _ask(operation, url, examples(name), None)
        if operation.path in known:
            met[name] += _ask(operation, url, examples(name), known[operation.path])
    return met


def _ask(operation: schemathesis.APIOperation, url: str, examples: int, name: str | None) -> Counter[int]:
    """What is made up follows from the text of `ask`, and so is the same each time until that is changed."""
    answers: Counter[int] = Counter()
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    cases = strategies.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: schemathesis.Case) -> None:
        if name is not None:
            case.path_parameters = dict.fromkeys(case.path_parameters or {}, name)
        answer = case.call(base_url=url, timeout=30)
        answers[answer.status_code] += 1
        assert answer.status_code < 500, (case.as_curl_command(), answer.text[:500])
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == ["application/problem+json"], case.as_curl_command()

    ask()
    return answers
