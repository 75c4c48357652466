"""Where things are, from the environment. README.md lists the variables."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.domain.errors import UsageError

#: How long a lease lasts that nobody renews, in seconds. A dead coordinator is followed by another within 2 s: this,
#: and the time in which others look (orchestrator/services/recovery.py). A worker that stands still for so long loses
#: what it leads, so slow machines may want more.
LEASE_SECONDS = 1.2
LONGEST_LEASE = 600.0
#: How long LifeTime's API lists a plan that nobody starts, in seconds: pipelines wait for what it lists.
LISTED_SECONDS = 60.0
LONGEST_LISTED = 604_800.0
#: How large an archive may be that is uploaded, in bytes.
UPLOAD_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Settings:
    """Places and addresses. `broker_url` is None where no broker is configured and no `lockstep standalone` runs."""

    home: Path
    ledger_url: str
    broker_url: str | None
    artifacts: Path
    inventory: Path
    hooks: Path
    log_format: str
    lease_seconds: float
    lifetime_listed_seconds: float = LISTED_SECONDS
    upload_bytes: int = UPLOAD_BYTES

    @property
    def broker_note(self) -> Path:
        """Where `lockstep standalone` notes the address of the Redis server that it started."""
        return broker_note(self.home)

    @property
    def api_note(self) -> Path:
        """Where `lockstep serve` notes its address while it runs."""
        return self.home / "api.url"

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """From LOCKSTEP_HOME and its like: README.md has them all."""
        home = Path(environ.get("LOCKSTEP_HOME") or Path.home() / ".lockstep").expanduser().absolute()
        inventory = environ.get("LOCKSTEP_INVENTORY") or (
            "inventory.yml" if Path("inventory.yml").exists() else home / "inventory.yml"
        )
        return cls(
            home=home,
            ledger_url=environ.get("LOCKSTEP_LEDGER_URL") or f"sqlite:///{home / 'ledger.sqlite'}",
            broker_url=environ.get("LOCKSTEP_BROKER_URL") or _noted_broker(home),
            artifacts=Path(environ.get("LOCKSTEP_ARTIFACTS") or home / "artifacts").expanduser().absolute(),
            inventory=Path(inventory).expanduser(),
            hooks=Path(environ.get("LOCKSTEP_HOOKS") or home / "hooks.yml").expanduser(),
            log_format=environ.get("LOCKSTEP_LOG_FORMAT") or "auto",
            lease_seconds=_seconds(
                environ.get("LOCKSTEP_LEASE_SECONDS"),
                LEASE_SECONDS,
                (LEASE_SECONDS, LONGEST_LEASE),
                "LOCKSTEP_LEASE_SECONDS",
                "not a time that a lease can last",
            ),
            lifetime_listed_seconds=_seconds(
                environ.get("LOCKSTEP_LIFETIME_LISTED_SECONDS"),
                LISTED_SECONDS,
                (0, LONGEST_LISTED),
                "LOCKSTEP_LIFETIME_LISTED_SECONDS",
                "not a time in seconds",
            ),
            upload_bytes=_bytes(environ.get("LOCKSTEP_UPLOAD_BYTES")),
        )


def _seconds(text: str | None, default: float, span: tuple[float, float], variable: str, what: str) -> float:
    """So many seconds, within the span; `what` is said of anything else."""
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not span[0] <= seconds <= span[1]:
        raise UsageError(what, where=variable, expected=f"{span[0]:g} to {span[1]:g}", found=text[:40])
    return seconds


def _bytes(text: str | None) -> int:
    if not text:
        return UPLOAD_BYTES
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) < 2**63):
        raise UsageError(
            "not a size for uploads", where="LOCKSTEP_UPLOAD_BYTES", expected="a number of bytes", found=text[:40]
        )
    return int(text)


def broker_note(home: Path) -> Path:
    """The file below LOCKSTEP_HOME that holds the standalone broker's URL while it runs."""
    return home / "broker.url"


def _noted_broker(home: Path) -> str | None:
    try:
        return broker_note(home).read_text().strip() or None
    except FileNotFoundError:
        return None
