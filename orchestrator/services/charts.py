"""Reading, from the ledger and the artifact store, what a fleet should serve of an app."""

from __future__ import annotations

import contextlib

from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import ReleaseError, UsageError
from orchestrator.domain.release import Manifest
from orchestrator.ota.doctor.chart import Chart, draw
from orchestrator.ports import Artifacts, Deployments
from orchestrator.services.releases import described

#: Of how many activations before the present one it is known what they were.
ACTIVATIONS = 200
#: Of how many releases before the present one the files are known.
RELEASES = 5


def chart(ledger: Deployments, artifacts: Artifacts, committed: Deployment, app: str) -> Chart:
    """What the fleet of this committed deployment should serve of an app.

    Raises:
        UsageError: The fleet does not serve the app, or its release can't be read here.
    """
    placements = committed.plan.placements
    placement = next((placement for placement in placements if placement.app == app), None)
    if placement is None:
        served = ", ".join(placement.app for placement in placements)
        raise UsageError(f"{committed.plan.fleet} does not serve {app}", expected=f"one of {served}", found=app)
    before = ledger.committed(committed.plan.fleet, before=committed.epoch, limit=ACTIVATIONS)
    try:
        releases = {digest: described(artifacts, digest) for digest in committed.activation.digests()}
    except ReleaseError as error:
        raise UsageError(
            "the release can't be read here",
            where=f"{app} {placement.version}",
            expected="the artifact store that the fleet is deployed from",
            found=str(error.problem.what),
            remedy="set LOCKSTEP_ARTIFACTS, or run it where the store is",
        ) from error
    activations = [row.activation for row in (committed, *before)]
    return draw(committed.activation, app, releases, _earlier(artifacts, before, app, placement.digest), activations)


def _earlier(artifacts: Artifacts, before: list[Deployment], app: str, present: str) -> dict[str, Manifest]:
    """Manifests by version; those that the store has no longer are left out."""
    found: dict[str, str] = {}
    for row in before:
        for placement in row.plan.placements:
            if placement.app == app and placement.digest != present and len(found) < RELEASES:
                found.setdefault(placement.version, placement.digest)
    manifests = {}
    for version, digest in found.items():
        with contextlib.suppress(ReleaseError):
            manifests[version] = artifacts.manifest(digest)
    return manifests
