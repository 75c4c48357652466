"""What a worker is sent for when a fleet is adopted, and what it brings back. Both go through the broker as JSON.

What comes back has been on another machine's disk: until its form is checked it counts for nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from inventory.model import AppName, Frontend, Name, Record, matching
from inventory.names import FLEET
from orchestrator.domain.adoption.site import Site, Where
from orchestrator.domain.errors import Problem, UnansweredError, UsageError
from orchestrator.domain.release import SHA256, VERSION

#: No answer is longer, in bytes: as many files as a release may hold fit, with paths of usual length.
LONGEST_ANSWER = 32 * 1024 * 1024
LONGEST_SECONDS = 86_400
#: The name under which the answers of one asking come together: nobody else can guess it.
NONCE = re.compile(r"[0-9a-f]{32}")

Sha256 = Annotated[str, matching(SHA256, "a SHA-256")]


class Taking(Record):
    """Make the release `app` `version` of a site, as `actor`, if its digest is still this one."""

    app: AppName
    version: Annotated[str, matching(VERSION, "a version")]
    digest: Sha256
    actor: Annotated[str, Field(min_length=1, max_length=200)]


class Errand(Record):
    """Look at a site; with `taking`, make a release of it.

    How the frontend is reached is not in the message, so that nobody can send a worker elsewhere: the worker's own
    inventory says it. `reached` is a hash of what the sender's says.
    """

    nonce: Annotated[str, matching(NONCE, "32 hex digits")]
    fleet: Annotated[str, matching(FLEET, "a fleet's full name")]
    frontend: Name
    reached: Sha256
    where: Where
    seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
    taking: Taking | None = None

    def words(self) -> list[Any]:
        """What goes into the message."""
        return [self.model_dump(mode="json")]

    @classmethod
    def read(cls, words: Sequence[Any]) -> Errand:
        """From a message. `UsageError` for anything else."""
        try:
            (document,) = words
            return cls.model_validate(document)
        except ValueError as error:
            raise UsageError("not an errand of an adoption", found=str(error)[:300]) from error


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a taking: the release's digest, whether it is new, and what the store did not have before."""

    digest: Sha256
    new: bool
    objects: int
    size: int


class Silence(Problem):
    """Nobody answered in time: what was asked for may still be done."""


class _Answer(Record):
    frontend: Name
    brought: Site | Taken | Problem


_ANSWER = TypeAdapter(_Answer)


def how_reached(frontend: Frontend) -> str:
    """A hash of all that the inventory says of a frontend."""
    return hashlib.sha256(frontend.model_dump_json().encode()).hexdigest()


def answer(frontend: str, brought: Site | Taken | Problem) -> bytes:
    """What a worker sends back. What would be too long is a problem instead."""
    written = _Answer(frontend=frontend, brought=brought).model_dump_json().encode()
    if len(written) <= LONGEST_ANSWER:
        return written
    problem = Problem(
        "the site has too many files for one answer",
        where=frontend,
        expected=f"at most {LONGEST_ANSWER} bytes of names and hashes",
        remedy="leave out what is no part of the app, with --exclude",
    )
    return answer(frontend, problem)


def read_answer(body: bytes) -> tuple[str, Site | Taken | Problem]:
    """The frontend's name, and what was brought. `UnansweredError` for anything that is not such an answer."""
    try:
        if len(body) > LONGEST_ANSWER:
            raise ValueError(f"{len(body)} bytes")
        found = _ANSWER.validate_json(body)
    except (ValueError, ValidationError) as error:
        raise UnansweredError(
            "an answer that can't be understood", expected="what a worker of this version sends", found=str(error)[:300]
        ) from error
    return found.frontend, found.brought
