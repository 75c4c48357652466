"""Lists in pages. A page begins behind what its cursor names, so what is added meanwhile moves nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query

from orchestrator.adapters.ledger.queries import MAX_NUMBER
from orchestrator.domain.errors import UsageError

MOST = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paging:
    """How many items a page has, and behind what it begins."""

    limit: int
    cursor: str | None

    def number(self, kind: str) -> int | None:
        """The number in the cursor of a list of that kind; None on the first page."""
        key = self.key(kind)
        if key is None:
            return None
        match key:
            case [int(number)] if not isinstance(number, bool) and 0 <= number <= MAX_NUMBER:
                return number
        raise _garbage()

    def words(self, kind: str) -> tuple[str, ...] | None:
        """The words in the cursor; None on the first page."""
        key = self.key(kind)
        if key is not None and not all(isinstance(word, str) and word.isascii() and word.isprintable() for word in key):
            raise _garbage()
        return None if key is None else tuple(key)

    def key(self, kind: str) -> list[Any] | None:
        """What is in the cursor; None on the first page. `UsageError` where it is of no list of that kind."""
        if self.cursor is None:
            return None
        try:
            document = json.loads(base64.urlsafe_b64decode(self.cursor + "=" * (-len(self.cursor) % 4)))
        except (ValueError, binascii.Error, RecursionError) as error:
            raise _garbage() from error
        match document:
            case [str(name), *key] if name == kind and key:
                return key
        raise _garbage()

    def page(
        self, kind: str, items: Sequence[T], view: Callable[[T], Any], key: Callable[[T], tuple[Any, ...]]
    ) -> dict[str, Any]:
        """A page of `items`, of which there are more than `limit` where another page follows."""
        shown = items[: self.limit]
        more = len(items) > self.limit
        return {"items": [view(item) for item in shown], "next": _cursor(kind, key(shown[-1])) if more else None}

    def cut(
        self,
        kind: str,
        items: Sequence[T],
        view: Callable[[T], Any],
        key: Callable[[T], tuple[str, ...]],
        wanted: Callable[[T], bool] = lambda _: True,
    ) -> dict[str, Any]:
        """A page of a list that is all there: of what is `wanted` behind the item in the cursor."""
        last = self.words(kind)
        begin = 0
        if last is not None:
            begin = next((index for index, item in enumerate(items, 1) if key(item) == last), 0)
            if not begin:
                raise _garbage()
        return self.page(kind, [item for item in items[begin:] if wanted(item)], view, key)


def paging(
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many items.")] = 50,
    cursor: Annotated[
        str | None, Query(pattern="^[A-Za-z0-9_-]{1,400}$", description="`next` of the page before.")
    ] = None,
) -> Paging:
    """From the query."""
    return Paging(limit, cursor)


Pages = Annotated[Paging, Depends(paging)]


def _cursor(kind: str, key: tuple[Any, ...]) -> str:
    text = json.dumps([kind, *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _garbage() -> UsageError:
    return UsageError("not a cursor of this list", where="cursor", expected="`next` of the page before")
