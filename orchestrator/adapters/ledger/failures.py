"""From a database's error to the operator's: what failed, where, and what to do.

The codes are PostgreSQL's SQLSTATEs (its manual, "PostgreSQL Error Codes") and SQLite's result codes by name ("Result
and Error Codes"). A code stands for all that begin with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exc

from orchestrator.domain.errors import ConflictError, LockstepError, UnansweredError


class DuplicateError(ConflictError):
    """A unique index refused a row: it, or one that excludes it, is there already."""


@dataclass(frozen=True, slots=True)
class _Failure:
    codes: tuple[str, ...]
    what: str
    remedy: str
    error: type[LockstepError] = LockstepError


_DUPLICATE = _Failure(
    ("23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"),
    "it is in the ledger already",
    "look at what is there",
    DuplicateError,
)
_BUSY = _Failure(
    ("40001", "40P01", "55P03", "SQLITE_BUSY", "SQLITE_LOCKED"),
    "the ledger is busy, nothing was written",
    "try again; if it stays so, see which process holds it",
    ConflictError,
)
_UNREACHABLE = _Failure(
    ("08", "25P03", "28", "3D000", "53300", "57P", "SQLITE_CANTOPEN"),
    "the ledger can't be reached",
    "start the database and see that its user may use it, or correct LOCKSTEP_LEDGER_URL",
)
#: Codes with which the database itself answers a COMMIT that it rolled back. 40003 ("completion unknown") is not one.
_ROLLED_BACK = ("23", "40001", "40002", "40P01")

_OTHER = _Failure((), "the ledger's database refused, nothing was written", "see the database's own log")

_FAILURES = (
    _DUPLICATE,
    _BUSY,
    _UNREACHABLE,
    _Failure(
        ("42P01", "42703", "no such table", "no such column", "table deployments has", "table reports has"),
        "the ledger has no tables of this version",
        "bring it up to date: any command of this version of Lockstep does",
    ),
    _Failure(
        ("25006", "SQLITE_READONLY"),
        "the ledger can't be written",
        "give the user that runs Lockstep write access to it and, for SQLite, to its directory",
    ),
    _Failure(
        ("53100", "58030", "SQLITE_FULL", "SQLITE_IOERR"),
        "the ledger's disk is full or fails",
        "make room or replace the disk, then try again",
    ),
    _Failure(
        ("SQLITE_NOTADB", "SQLITE_CORRUPT", "XX001", "XX002"),
        "the ledger is damaged, or not a ledger",
        "correct LOCKSTEP_LEDGER_URL, or restore a backup (docs/ledger.md)",
    ),
)


def failure(error: exc.SQLAlchemyError | OverflowError, place: str) -> LockstepError:
    """The error of a statement that failed, or of a connection that could not be had: nothing was written.

    An `OverflowError` is what Python's SQLite raises for a number of more than 64 bits.
    """
    cause = getattr(error, "orig", None)
    if isinstance(cause, LockstepError):
        # A column's type refused a value (`tables.UtcDateTime`, `tables.as_json`).
        return cause
    kind = _kind(error)
    return kind.error(kind.what, where=place, found=_found(error), remedy=kind.remedy)


def commit_failure(error: exc.SQLAlchemyError, place: str) -> LockstepError:
    """The error of a COMMIT that failed: unknown, but where the database itself answered that it rolled back."""
    if isinstance(error, exc.DBAPIError) and not error.connection_invalidated and _code(error).startswith(_ROLLED_BACK):
        return failure(error, place)
    return UnansweredError(
        "the ledger did not say whether it wrote",
        where=place,
        expected="an answer to COMMIT",
        found=_found(error),
        remedy="when the ledger answers again, look at what it says: lockstep status",
    )


def _kind(error: Exception) -> _Failure:
    if isinstance(error, exc.TimeoutError):
        return _BUSY
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return _UNREACHABLE
    code = _code(error)
    for kind in _FAILURES:
        if code.startswith(kind.codes):
            return kind
    # psycopg gives no code where no connection was made.
    return _UNREACHABLE if isinstance(error, exc.OperationalError) and not code else _OTHER


def _code(error: Exception) -> str:
    cause = getattr(error, "orig", None)
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""
    # SQLite has one code for every statement that it can't compile; only its text says more.
    return str(cause) if code == "SQLITE_ERROR" else code


def _found(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    # PostgreSQL's details quote rows, and a row holds the nonce: only its first line is for everybody.
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    return str(primary or cause).strip() or type(cause).__name__
