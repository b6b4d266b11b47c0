"""Requests that are made up from what a service says of itself."""

from __future__ import annotations

import schemathesis
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.schemas import OpenApiSchema


def described(url: str) -> OpenApiSchema:
    """The description that the service at `url` serves, for requests without tokens.

    Made-up tokens would be all that is ever judged: one that is sent is checked also where none is needed.
    """
    generation = GenerationConfig(with_security_parameters=False)
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    return schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
