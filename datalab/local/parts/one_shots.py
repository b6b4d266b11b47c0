"""Stages that run once and end: our tables, the topics, the deployments. Each is safe to run at every start."""

from __future__ import annotations

import sys

from datalab.local.parts.base import Command, Lab, Part


class Migrations(Part):
    """Our own tables, by Alembic."""

    name = "migrations"
    needs = ("postgres",)
    one_shot = True

    def command(self, lab: Lab) -> Command:
        return Command([sys.executable, "-m", "datalab.local.tasks", "migrate"])


class Topics(Part):
    """The topics of `schemas/topics.yaml`."""

    name = "topics"
    needs = ("kafka",)
    one_shot = True

    def command(self, lab: Lab) -> Command:
        return Command([sys.executable, "-m", "datalab.local.tasks", "topics"])


class Deployments(Part):
    """Prefect's work pools, deployments and schedules."""

    name = "deployments"
    needs = ("prefect",)
    one_shot = True

    def command(self, lab: Lab) -> Command:
        return Command([sys.executable, "flows/manage_deployments.py", "deploy"])
