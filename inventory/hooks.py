"""What sets deployments off from outside, and who is told of them: the file `hooks.yml`.

`hooks.example.yml` beside this file is its manual. Secrets are never in it: it names the files that hold them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AnyHttpUrl, Field, TypeAdapter

from inventory import document
from inventory.fields import entries, fields, plain, validated
from inventory.loader import text_of
from inventory.model import AppName, Name, Record, matching
from inventory.names import FLEET
from inventory.problem import InventoryError, Report

#: The manual: a file with every field.
EXAMPLE = Path(__file__).with_name("hooks.example.yml")

#: An event of the trail, or all whose names begin so: ``deployment.*``, ``*``.
PATTERN = re.compile(r"\*|[a-z_]+\.(?:\*|[a-z_]+)")
ABSOLUTE = re.compile(r"/[^\x00-\x1f\x7f]{1,4095}")

#: What a notice says where nothing else is set: ``Deployment 17 of Production/web is done (lockstep, 2026-…).``
TITLE = "{{ fleet or 'Lockstep' }}: {{ event | replace('.', ' ') }}"
BODY = """\
{% if deployment and event.startswith('deployment.') -%}
Deployment {{ deployment }} of {{ fleet }} is {{ event.split('.')[1] }}
{%- else -%}
{{ event | replace('.', ' ') | capitalize }}{% if fleet %} in {{ fleet }}{% endif %}
{%- endif %}
{%- if detail.get('frontend') %}: {{ detail.frontend }}{% endif %}
{%- if detail.get('changes') %}: {{ detail.changes | dictsort | map('join', ' ') | join(', ') }}{% endif %} \
({{ actor }}, {{ at }}).
{%- for trouble in detail.get('troubles', []) %}
{{ trouble.frontend or 'the fleet' }}: {{ trouble.problem.what }}
{%- endfor %}
"""

T = TypeVar("T", bound=Record)


EventPattern = Annotated[str, matching(PATTERN, "an event such as deployment.done, deployment.* or *")]
FleetKey = Annotated[str, matching(FLEET, "a fleet such as Production/web")]
AbsolutePath = Annotated[str, matching(ABSOLUTE, "an absolute path")]
Template = Annotated[str, Field(min_length=1, max_length=10_000)]


class Trigger(Record):
    """A hook in: ``POST /hooks/NAME``, signed, deploys to `fleet` what the templates make of its body."""

    name: Name
    fleet: FleetKey
    secret_file: AbsolutePath
    apps: Mapping[AppName, Template] = Field(min_length=1)
    hold: bool = False
    tolerance_seconds: Annotated[int, Field(ge=1, le=3600)] = 300


class Zone(Record):
    """A polled hook in, in the form of LifeTime's container zones: results are files in `folder`."""

    name: Name
    fleet: FleetKey
    secret_file: AbsolutePath
    folder: AbsolutePath


class Webhook(Record):
    """A hook out: a POST, signed, of every event that matches."""

    name: Name
    url: AnyHttpUrl
    secret_file: AbsolutePath
    events: tuple[EventPattern, ...] = ("*",)
    fleets: tuple[FleetKey, ...] = ()


class Notice(Record):
    """A notice to people, through Apprise. Its URLs hold secrets, so they are in a file, one in a line."""

    name: Name
    urls_file: AbsolutePath
    events: tuple[EventPattern, ...] = ("deployment.*",)
    fleets: tuple[FleetKey, ...] = ()
    title: Template = TITLE
    body: Template = BODY


class Hooks(Record):
    """All of them."""

    triggers: tuple[Trigger, ...] = ()
    zones: tuple[Zone, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    notices: tuple[Notice, ...] = ()


_SECTIONS: Mapping[str, TypeAdapter[Any]] = {
    "triggers": TypeAdapter(Trigger),
    "zones": TypeAdapter(Zone),
    "webhooks": TypeAdapter(Webhook),
    "notices": TypeAdapter(Notice),
}
_KINDS: Mapping[str, type[Record]] = {"triggers": Trigger, "zones": Zone, "webhooks": Webhook, "notices": Notice}


def load(path: Path) -> Hooks:
    """The hooks in a file. Raises `InventoryError`."""
    return parse(text_of(path), str(path))


def parse(text: str, source: str) -> Hooks:
    """The hooks that `text` spells; `source` names it in problems. Raises `InventoryError` with all of them."""
    report = Report(source)
    root = document.read(text, report)
    top = fields(root, tuple(_SECTIONS), report)
    found: dict[str, tuple[Any, ...]] = {}
    for section, adapter in _SECTIONS.items():
        known = tuple(field for field in _KINDS[section].model_fields if field != "name")
        records = []
        for name, node in entries(top.get(section), report).items():
            given = fields(node, known, report)
            records.append(validated(adapter, {"name": name, **plain(given)}, node, report, given=given))
        found[section] = tuple(record for record in records if record is not None)
    try:
        report.close()
    except InventoryError as error:
        # What stands in a webhook may be an address with a secret in it: its place must do.
        told = (replace(each, found="") if each.field.startswith("webhooks.") else each for each in error.problems)
        raise InventoryError(tuple(told)) from None
    return Hooks(**found)
