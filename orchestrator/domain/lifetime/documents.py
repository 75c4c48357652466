"""The documents of LifeTime's Deployment API v2: the names and shapes that its public reference gives.

Booleans are JSON's. Times are in UTC, to the second; LifeTime writes a time that there is not as the year 1900.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.domain.lifetime import keys
from orchestrator.domain.lifetime.plan import DeploymentPlan, Standing

Document = dict[str, Any]

NO_TIME = "1900-01-01T00:00:00"
#: Clients tell the generations of the platform apart by it: everything here is as in OutSystems 11.
OS_VERSION = "11.0.0.0"


@dataclass(frozen=True, slots=True)
class Active:
    """What is active of an app in an environment. `differing` says where its zones do not agree, else ""."""

    app: str
    version: str
    environment: str
    fleet: str
    differing: str = ""


def environment(name: str, order: int, kind: str, host: str, frontends: int, *, https: bool) -> Document:
    """Environment. `host` has its port where that is not the usual one."""
    return {
        "Key": keys.environment_key(name),
        "Name": name,
        "OSVersion": OS_VERSION,
        "Order": order,
        "HostName": host,
        "UseHTTPS": https,
        "EnvironmentType": kind,
        "NumberOfFrontEnds": frontends,
        "ApplicationServerType": "",
        "ApplicationServer": "",
        "DatabaseProvider": "",
        "IsCloudEnvironment": False,
    }


def zone(fleet: str, name: str, *, default: bool) -> Document:
    """DeploymentZone."""
    technology = {"Key": keys.technology_key(), "Name": "Lockstep"}
    return {"Key": keys.zone_key(fleet), "Name": name, "IsDefault": default, "DeploymentTechnology": technology}


def application(app: str, url_path: str, statuses: Sequence[Active]) -> Document:
    """Application; `statuses` are those that were asked for."""
    return {
        "Key": keys.application_key(app),
        "Name": app,
        "Kind": "",
        "Team": "",
        "Description": "",
        "URLPath": url_path,
        "IconHash": "",
        "IconURL": "",
        "IsSystem": False,
        "AppStatusInEnvs": [_status_in_environment(active) for active in statuses],
    }


def _status_in_environment(active: Active) -> Document:
    return {
        "EnvironmentKey": keys.environment_key(active.environment),
        "BaseApplicationVersionKey": keys.version_key(active.app, active.version),
        "IsModified": bool(active.differing),
        "IsModifiedReason": "Zones_Differ" if active.differing else "",
        "IsModifiedMessage": active.differing,
        "ConsistencyStatus": "",
        "ConsistencyStatusMessages": "",
        "MobileAppsStatus": [],
        "ModuleStatusInEnvs": [],
        "DeploymentZoneKey": keys.zone_key(active.fleet),
    }


def application_version(app: str, version: str, created_at: datetime, *, in_use: bool) -> Document:
    """ApplicationVersion."""
    return {
        "Key": keys.version_key(app, version),
        "ApplicationKey": keys.application_key(app),
        "Version": version,
        "ChangeLog": "",
        "CreatedOn": moment(created_at),
        "InUse": in_use,
        "MobileVersions": [],
        "PrimaryColor": "",
        "NativeHash": "",
        "ModuleVersions": [],
    }


def deployment(plan: DeploymentPlan) -> Document:
    """Deployment: a plan."""
    return {
        "Key": plan.key,
        "SourceEnvironmentKey": keys.environment_key(plan.source) if plan.source else "",
        "TargetEnvironmentKey": keys.environment_key(plan.target),
        "Notes": plan.notes,
        **_said("Created", plan.created_at, plan.created_by),
        **_said("Saved", plan.saved_at, plan.saved_by),
        **_said("Started", plan.started_at, plan.started_by),
        **_said("Aborted", plan.aborted_at, plan.aborted_by),
        "ApplicationOperations": [
            {
                "ApplicationKey": keys.application_key(operation.app),
                "ApplicationVersionKey": keys.version_key(operation.app, operation.version),
                "DeploymentOperation": operation.words,
                "DeploymentZoneKey": keys.zone_key(plan.fleet),
            }
            for operation in plan.operations
        ],
    }


def deployment_details(plan: DeploymentPlan) -> Document:
    """A plan with what conflicts with it: nothing, or it could not have been saved."""
    return {"Deployment": deployment(plan), "ApplicationsToRedeploy": [], "ApplicationConflicts": []}


def deployment_status(standing: Standing) -> Document:
    """DeploymentStatus."""
    log = [{"Instant": moment(line.at), "Message": line.message} for line in standing.log]
    return {"DeploymentStatus": str(standing.status), "Info": standing.info, "DeploymentLog": log}


def errors(texts: Sequence[str], status: int) -> Document:
    """Every error."""
    return {"Errors": list(texts), "StatusCode": status}


def moment(at: datetime | None) -> str:
    """A time."""
    return NO_TIME if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _said(word: str, at: datetime | None, by: str) -> Document:
    return {f"{word}On": moment(at), f"{word}By": keys.user_key(by), f"{word}ByUsername": by}
