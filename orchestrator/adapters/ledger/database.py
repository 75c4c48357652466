"""The engine as the ledger uses it: reads and transactions that write, with errors that an operator can read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.adapters.ledger.failures import commit_failure, failure
from orchestrator.ports import Clock

#: The execution option by which the engine's "begin" listener knows a transaction that writes.
WRITES = "lockstep_writes"


class Database:
    """An engine of `engine.open_engine`. Safe to share between threads. `place` names it without secrets."""

    def __init__(self, engine: Engine) -> None:
        self._reads = engine
        self._writes = engine.execution_options(**{WRITES: True})
        # The query may hold a password as well.
        self.place = engine.url.set(query={}).render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for one statement that reads; raises `LockstepError`."""
        try:
            with self._reads.connect() as connection:
                yield connection
        except (SQLAlchemyError, OverflowError) as error:
            raise failure(error, self.place) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, committed durably at the end, or rolled back where the body raises.

        Raises:
            DuplicateError: A unique index says that it is there already. Nothing was written.
            ConflictError: Another writer was first, or holds the ledger. Nothing was written.
            UnansweredError: The commit was sent and not answered: it may or may not have been written.
            LockstepError: Anything else. Nothing was written.
        """
        try:
            with self._writes.connect() as connection:
                connection.begin()
                yield connection
                try:
                    connection.commit()
                except SQLAlchemyError as error:
                    raise commit_failure(error, self.place) from error
        except (SQLAlchemyError, OverflowError) as error:
            raise failure(error, self.place) from error


class LedgerPart:
    """A part of the ledger: the database, and the clock for its records. Safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._database = Database(engine)
        self._clock = clock
