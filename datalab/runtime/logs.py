"""Structured logs: one JSON object a line on stdout, named events with ids. Secrets are cut out here."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

# user:password@ of an address, and the values of bearer tokens, webhook secrets and tokens of ingest.
_CREDENTIALS = re.compile(
    r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)|(?<=[Bb]earer )\S+|whsec_[A-Za-z0-9+/=]+|dlt_[A-Za-z0-9_-]{20,}"
)


def redacted(text: str) -> str:
    """The text without credentials."""
    return _CREDENTIALS.sub("***", text)


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: redacted(value) if isinstance(value, str) else value for key, value in event.items()}


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send the logs of this process, also those of libraries, to stdout as JSON lines."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # httpx logs whole addresses at INFO, and an address of a webhook is a secret.
    for name in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # In an outage aiokafka logs a hundred lines a second; the bus says once per attempt what is wrong.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    structlog.contextvars.bind_contextvars(service=service)


def get_logger(name: str) -> Any:
    """A logger that takes an event name and fields: `log.info("run.created", run_id=…)`."""
    return structlog.get_logger(name)
