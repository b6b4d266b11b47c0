"""How the dashboard is put together: settings in, Streamlit's server out. What it shows is `navigation`'s business."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import ValidationError

from datalab.runtime.logs import configure_logging, get_logger
from services.dashboard.settings import DashboardSettings

log = get_logger(__name__)
# In a folder of its own: Streamlit puts the script's folder on the import path, and takes a folder `pages` beside the
# script for an application of its older kind.
SCRIPT = Path(__file__).with_name("site") / "start.py"


def options(settings: DashboardSettings) -> dict[str, str | int | float | bool | list[str]]:
    """Streamlit's options; they win over its configuration files and its environment."""
    return {
        "server.address": settings.host,
        "server.port": settings.dashboard_port,
        "server.headless": True,
        "server.showEmailPrompt": False,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "browser.gatherUsageStats": False,
        # What went wrong in the code is for the log; a page says in words what is away.
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "viewer",
        "logger.hideWelcomeMessage": True,
        "logger.level": "warning",
        "runner.magicEnabled": False,
        "theme.primaryColor": "#2563eb",
        "theme.borderColor": "#e2e8f0",
        "theme.showWidgetBorder": True,
        "theme.baseRadius": "0.5rem",
        "theme.paddingTop": "1rem",
        "theme.paddingBottom": "3rem",
        "theme.headingFontSizes": ["2rem", "1.5rem", "1.25rem", "1.1rem", "1rem", "1rem"],
        "theme.metricValueFontSize": "1.75rem",
    }


def main() -> None:
    """Serve until SIGTERM or SIGINT. Ends with status 1 if a setting is wrong or the port is taken."""
    configure_logging("dashboard")
    try:
        settings = DashboardSettings()
    except ValidationError as error:
        log.critical("dashboard.failed", reason="; ".join(_words(dict(e)) for e in error.errors()))
        sys.exit(1)
    # Here, as it takes a second that a wrong setting need not wait for.
    from streamlit.web.bootstrap import load_config_options, run

    load_config_options(options(settings))
    log.info("service.starting", address=f"http://{settings.host}:{settings.dashboard_port}")
    run(str(SCRIPT), False, [], options(settings))
    log.info("service.stopped")


def _words(error: dict[str, object]) -> str:
    place = error["loc"]
    name = str(place[0]) if isinstance(place, tuple) and place else "settings"
    return f"{name.upper()}: {error['msg']}"
