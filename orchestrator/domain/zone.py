"""Polled zones: requests as OutSystems' container deployment zones make them, and their result files. Pure.

Sources: "Deploy an Application to Containers using an Automated Deployment Tool" and "Deployment Zones Reference" of
the documentation of OutSystems 11 (github.com/OutSystems/docs-product), and github.com/OutSystems/ContainerAutomation.
docs/hooks.md, "Polled zones", says which facts are public and which are assumed.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.deployment import Deployment, State, Trouble
from orchestrator.domain.errors import UsageError
from orchestrator.domain.release import VERSION


class Step(StrEnum):
    """What a zone is asked to do."""

    PREPARE = "prepare"
    DEPLOY = "deploy"
    UPDATE_CONFIGS = "update-configs"
    UNDEPLOY = "undeploy"

    @property
    def extension(self) -> str:
        """The end of its result file's name."""
        return _EXTENSIONS[self]


_EXTENSIONS: Mapping[Step, str] = {
    Step.PREPARE: ".preparedone",
    Step.DEPLOY: ".deploydone",
    Step.UPDATE_CONFIGS: ".configsdone",
    Step.UNDEPLOY: ".undeploydone",
}

#: The parameters that the platform appends, each in base64.
PARAMETERS = (
    "Address",
    "ApplicationName",
    "ApplicationKey",
    "OperationId",
    "TargetPath",
    "ResultPath",
    "ConfigPath",
    "ModuleNames",
)
#: Lockstep's own, which whoever configures the zone may put into its URLs; not in base64.
VERSION_PARAMETER = "Version"

#: Both make a file's name, so nothing else may be in them.
GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: Names are compared with the fleet's apps; what is longer is none of them.
LONGEST_NAME = 200
MOST_MODULES = 500


@dataclass(frozen=True, slots=True)
class Request:
    """What a zone was asked. `version` is "" where the request names none."""

    step: Step
    application: str
    key: str
    operation: str
    modules: tuple[str, ...]
    version: str

    @property
    def name(self) -> str:
        """What the zone calls it, once."""
        return name_of(self.step, self.key, self.operation)

    @property
    def file(self) -> str:
        """Its result file's name, spelled as the platform spells it."""
        return f"{self.key}_{self.operation}{self.step.extension}"


def name_of(step: Step, key: str, operation: str) -> str:
    """The name of a step of an operation. GUIDs are the same in capitals."""
    return f"{step}/{key}_{operation}".lower()


def is_test(given: Mapping[str, str]) -> bool:
    """Whether none of the platform's parameters came: whoever configures a zone tries its URLs so."""
    return not any(given.get(name) for name in PARAMETERS)


def request_of(step: Step, given: Mapping[str, str]) -> Request:
    """A request from its query. `UsageError` where no result file could be named, or the rest can't be read."""
    key, operation = (_guid(name, given.get(name, "")) for name in ("ApplicationKey", "OperationId"))
    version = given.get(VERSION_PARAMETER, "")
    if version and VERSION.fullmatch(version) is None:
        raise UsageError("not a version", where=VERSION_PARAMETER, expected="letters, digits, '.', '_', '+' and '-'")
    application = _decoded("ApplicationName", given.get("ApplicationName", ""))
    return Request(step, application, key, operation, _modules(given.get("ModuleNames", "")), version)


def apps_of(request: Request, mounted: Sequence[str]) -> list[str]:
    """Those of a fleet's apps that the application is: by its own name, and by those of its modules."""
    meant = {request.application, *request.modules}
    return [app for app in mounted if app in meant]


def success(said: str) -> dict[str, str]:
    """A result; `said` is for people."""
    return {"said": said}


def failure(said: str) -> dict[str, str]:
    """A result that is an error."""
    return {"error": said}


def content(result: Mapping[str, str]) -> str:
    """What a result file holds."""
    if "error" in result:
        return json.dumps({"Error": {"Message": result["error"]}}) + "\n"
    return json.dumps({"AdditionalInfo": result["said"]}) + "\n"


def prepared(deployment: Deployment) -> dict[str, str] | None:
    """How far the preparation of a deployment has come; None while it is open."""
    if deployment.state in (State.ABORTING, State.ABORTED):
        return _aborted(deployment)
    if deployment.state is State.PREPARED or deployment.state in (State.ACTIVATING, State.FINISHING, State.DONE):
        frontends = len(deployment.plan.frontends)
        return success(f"deployment {deployment.id} is staged and verified on {frontends} frontends")
    return None


def finished(deployment: Deployment) -> dict[str, str] | None:
    """How a deployment has ended; None while it is open."""
    if deployment.state in (State.ABORTING, State.ABORTED):
        return _aborted(deployment)
    if deployment.state is State.DONE:
        return success(f"deployment {deployment.id} is done: epoch {deployment.epoch} on every frontend in rotation")
    return None


def _aborted(deployment: Deployment) -> dict[str, str] | None:
    if deployment.state is State.ABORTING:
        return None
    said = "; ".join(_told(trouble) for trouble in deployment.troubles[:5]) or "nobody said why"
    more = len(deployment.troubles) - 5
    return failure(f"deployment {deployment.id} was aborted: {said}{f'; and {more} more' if more > 0 else ''}")


def _told(trouble: Trouble) -> str:
    where = f"{trouble.frontend}: " if trouble.frontend else ""
    found = trouble.problem.get("found", "")
    return f"{where}{trouble.problem.get('what', '')}{f' ({found})' if found else ''}"[:500]


def _guid(name: str, given: str) -> str:
    text = _decoded(name, given)
    if GUID.fullmatch(text) is None:
        raise UsageError("not a key", where=name, expected="a GUID, in base64")
    return text


def _modules(given: str) -> tuple[str, ...]:
    text = _decoded("ModuleNames", given, longest=LONGEST_NAME * MOST_MODULES)
    if not text:
        return ()
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or len(names) > MOST_MODULES or not all(isinstance(each, str) for each in names):
        raise UsageError("not names of modules", where="ModuleNames", expected="a list in JSON, in base64")
    return tuple(names)


def _decoded(name: str, given: str, longest: int = LONGEST_NAME) -> str:
    # A "+" that came unquoted reads as a space.
    packed = given.replace(" ", "+")
    try:
        text = base64.b64decode(packed.encode("ascii"), validate=True).decode()
    except (UnicodeError, binascii.Error):
        raise UsageError("not base64 of text", where=name, expected="base64 of UTF-8") from None
    if len(text) > longest:
        raise UsageError("too long", where=name, expected=f"at most {longest} characters")
    return text
