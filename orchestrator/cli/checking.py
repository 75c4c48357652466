"""What is wrong with hooks beyond their file: the files of secrets that they name, and their templates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from inventory.hooks import Hooks
from orchestrator.adapters import secrets
from orchestrator.domain.errors import LockstepError


def problems_of(hooks: Hooks) -> list[LockstepError]:
    """Every one of them."""
    found = []
    for look in _looks(hooks):
        try:
            look()
        except LockstepError as error:
            found.append(error)
    return found


def _looks(hooks: Hooks) -> Iterator[Callable[[], object]]:
    """All that can be looked at without asking anybody."""
    # Templates and services are imported where they are needed: they take their time.
    for path in (*(each.secret_file for each in hooks.triggers), *(each.secret_file for each in hooks.webhooks)):
        yield partial(secrets.keys, path)
    if hooks.triggers:
        from orchestrator.services import versions  # noqa: PLC0415

        for template in (template for trigger in hooks.triggers for template in trigger.apps.values()):
            yield partial(versions.check, template)
    for zone in hooks.zones:
        yield partial(secrets.tokens, zone.secret_file)
    if hooks.notices:
        from orchestrator.adapters.notify import NoticeReceiver  # noqa: PLC0415

        for notice in hooks.notices:
            yield NoticeReceiver(notice).check
