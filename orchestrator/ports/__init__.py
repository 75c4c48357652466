"""What the services need of the world. The adapters, the workers and the tests' simulated fleet provide it."""

from __future__ import annotations

from orchestrator.ports.ledger import Builds, Clock, Deployments, Ledger, ReleaseRecord, Releases
from orchestrator.ports.outside import (
    SEND_SECONDS,
    Deliveries,
    LifetimePlans,
    NamedRequest,
    Position,
    Receiver,
    Requests,
    Results,
    Token,
    Tokens,
    Trail,
    Triggers,
)
from orchestrator.ports.work import (
    Artifacts,
    Dispatch,
    Fleet,
    GateRun,
    Gates,
    Intake,
    Lease,
    Leases,
    Looks,
    lead_of,
    work_on,
)

__all__ = [
    "SEND_SECONDS",
    "Artifacts",
    "Builds",
    "Clock",
    "Deliveries",
    "Deployments",
    "Dispatch",
    "Fleet",
    "GateRun",
    "Gates",
    "Intake",
    "Lease",
    "Leases",
    "Ledger",
    "LifetimePlans",
    "Looks",
    "NamedRequest",
    "Position",
    "Receiver",
    "ReleaseRecord",
    "Releases",
    "Requests",
    "Results",
    "Token",
    "Tokens",
    "Trail",
    "Triggers",
    "lead_of",
    "work_on",
]
