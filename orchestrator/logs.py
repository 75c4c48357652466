"""Logs: JSON lines for machines, coloured text on a terminal; both carry deployment, epoch and frontend."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from orchestrator.domain.access import without_tokens
from orchestrator.domain.errors import UsageError

FORMATS = ("auto", "json", "text")
#: A fault's places and words, never what the variables held: that may be a token.
WITHOUT_VALUES = ExceptionDictTransformer(show_locals=False)


def configure(log_format: str) -> None:
    """Send structlog's and the standard library's events to standard error. `log_format` is one of `FORMATS`."""
    if log_format not in FORMATS:
        raise UsageError(
            "no such format of logs", where="LOCKSTEP_LOG_FORMAT", expected=", ".join(FORMATS), found=log_format[:40]
        )
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if as_text
        else [structlog.processors.ExceptionRenderer(WITHOUT_VALUES), structlog.processors.JSONRenderer(sort_keys=True)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, _masked],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("paramiko", "httpx", "httpcore", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _masked(logger: object, method: str, line: Any) -> str:
    """A line as it goes out: whatever somebody put into an event, no token is in it."""
    del logger, method
    return without_tokens(line)
