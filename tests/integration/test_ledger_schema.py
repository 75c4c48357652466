"""The migrations, the tables in the code and what the databases hold are one and the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.types import TypeEngine

import orchestrator.adapters.ledger
from orchestrator.adapters.ledger.database import Database
from orchestrator.adapters.ledger.engine import MIGRATIONS, open_engine, revision, upgrade
from orchestrator.adapters.ledger.indexes import metadata
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.adapters.ledger.tables import REVISION
from orchestrator.domain.audit import audit, finding, healing
from orchestrator.domain.deployment import Decision, Healing, Kind, Outcome, State, Step
from orchestrator.domain.errors import LockstepError
from tests.integration.ledgers import Ticks, advance, plan, standing

TABLES = (
    "releases",
    "deployments",
    "builds",
    "drains",
    "reports",
    "audits",
    "schedules",
    "findings",
    "treatments",
)


@pytest.fixture
def empty_engine(ledger_url: str) -> Iterator[Engine]:
    """An engine on a database without tables."""
    engine = open_engine(ledger_url)
    yield engine
    engine.dispose()


def schema(connection: Connection) -> str:
    """All that the database tells of the tables, as JSON."""

    def by_name(constraint: Any) -> str:
        return str(constraint["name"])

    found = inspect(connection)
    told = {
        table: {
            "columns": found.get_columns(table),
            "primary key": found.get_pk_constraint(table),
            "foreign keys": found.get_foreign_keys(table),
            "indexes": sorted(found.get_indexes(table), key=by_name),
            "unique": sorted(found.get_unique_constraints(table), key=by_name),
            "checks": sorted(found.get_check_constraints(table), key=by_name),
        }
        for table in TABLES
    }
    return json.dumps(
        told, indent=1, default=lambda value: repr(value) if isinstance(value, TypeEngine) else str(value)
    )


def alembic(connection: Connection) -> Config:
    """Alembic's configuration, on an open transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(orchestrator.adapters.ledger.__path__[0]) / "migrations"))
    config.attributes["connection"] = connection
    return config


def test_the_migrations_make_the_tables_of_the_code(ledger_engine: Engine) -> None:
    with ledger_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_what_the_code_would_make_to_the_last_constraint(empty_engine: Engine) -> None:
    """Alembic compares no check constraints and no conditions of indexes; the databases can tell them."""
    with Database(empty_engine).writing() as connection:
        metadata.create_all(connection)
        made = schema(connection)
        metadata.drop_all(connection)
    upgrade(empty_engine)
    with empty_engine.connect() as connection:
        assert schema(connection) == made
    for word in ("ended_at IS NULL", "aborting", "63"):
        assert word in made


def test_the_migrations_can_be_undone(ledger_engine: Engine) -> None:
    with Database(ledger_engine).writing() as connection:
        command.downgrade(alembic(connection), "base")
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    upgrade(ledger_engine)
    assert SqlLedger(ledger_engine, Ticks()).plan(plan()).epoch == 1


#: A deployment as revision 0001 kept it; every column but `id`, in SQL.
OF_0001 = {
    "fleet": "'Production/web'",
    "nonce": "'00112233445566aa'",
    "kind": "'deploy'",
    "changes": """'{"ToDo":"1"}'""",
    "placements": f"""'[["ToDo","/ToDo/","1","{"a" * 64}"]]'""",
    "frontends": """'["f1","f2"]'""",
    "snapshot": "'{}'",
    "actor": "'ada'",
    "hold": "false",
    "created_at": "'2026-01-02 03:04:05.678901+00:00'",
}
ROWS_OF_0001 = [
    {"epoch": "1", "state": "'done'", "decision": "'commit'", "troubles": "'[]'"},
    {
        "epoch": "2",
        "state": "'aborted'",
        "decision": "'abort'",
        "troubles": """'[{"step":"stage","frontend":"f1","problem":{"what":"no"}}]'""",
    },
    {"epoch": "3", "state": "'activating'", "decision": "'commit'", "troubles": "'[]'", "skew": "0.25"},
]


def ledger_of_0001(engine: Engine) -> None:
    """A ledger as the first version left it: two deployments that have ended, one that is open, and its reports."""
    with Database(engine).writing() as connection:
        command.upgrade(alembic(connection), "0001")
        for row in ROWS_OF_0001:
            columns = {**OF_0001, **row, "decided_at": OF_0001["created_at"]}
            if row["state"] != "'activating'":
                columns["ended_at"] = OF_0001["created_at"]
            names, values = ", ".join(columns), ", ".join(columns.values())
            connection.exec_driver_sql(f"INSERT INTO deployments ({names}) VALUES ({values})")
        connection.exec_driver_sql(
            "INSERT INTO reports (deployment, frontend, step, attempt, outcome, detail, problem, at) VALUES "
            f"""(3, 'f1', 'arm', 1, 'accepted', '{{"n":1}}', '{{}}', {OF_0001["created_at"]})"""
        )


def test_a_ledger_of_the_first_revision_is_brought_up_with_all_that_is_in_it(empty_engine: Engine) -> None:
    ledger_of_0001(empty_engine)
    assert revision(empty_engine) == "0001"
    upgrade(empty_engine)
    assert revision(empty_engine) == REVISION
    ledger = SqlLedger(empty_engine, Ticks())
    rows = ledger.history(None, 10)
    assert [(row.id, row.epoch, row.state) for row in rows] == [
        (3, 3, State.ACTIVATING),
        (2, 2, State.ABORTED),
        (1, 1, State.DONE),
    ]
    assert [dict(row.plan.readmits) for row in rows] == [{}] * 3
    assert {row.name.nonce for row in rows} == {"00112233445566aa"}
    assert [trouble.problem for trouble in rows[1].troubles] == [{"what": "no"}]
    assert (rows[0].skew, rows[0].plan.frontends, rows[0].plan.changes) == (0.25, ("f1", "f2"), {"ToDo": "1"})
    assert [(report.step, report.detail) for _, report in ledger.reports(3)] == [(Step.ARM, {"n": 1})]


def test_what_was_open_at_the_upgrade_goes_on_and_all_that_is_new_works(empty_engine: Engine) -> None:
    ledger_of_0001(empty_engine)
    upgrade(empty_engine)
    ledger = SqlLedger(empty_engine, Ticks())
    with pytest.raises(LockstepError, match="deployment 3 of Production/web is open"):
        ledger.plan(plan())
    assert ledger.move(3, State.ACTIVATING, State.FINISHING)[1]
    assert ledger.move(3, State.FINISHING, State.DONE)[1]
    drain = ledger.add_drain("Production/web", "f1", {}, "ada", "")
    assert (drain.number, drain.name.epoch) == (1, 3)
    back = ledger.plan(replace(plan(), kind=Kind.READMIT, changes={}, frontends=("f1",), readmits={"f1": 1}))
    assert (back.epoch, back.state) == (3, State.PLANNED)


def test_an_upgraded_ledger_has_the_tables_of_a_new_one(empty_engine: Engine) -> None:
    with Database(empty_engine).writing() as connection:
        metadata.create_all(connection)
        made = schema(connection)
        metadata.drop_all(connection)
    ledger_of_0001(empty_engine)
    upgrade(empty_engine)
    with empty_engine.connect() as connection:
        assert schema(connection) == made


def test_a_readmission_keeps_a_ledger_from_going_back_to_the_first_revision(ledger_engine: Engine) -> None:
    ledger = SqlLedger(ledger_engine, Ticks())
    advance(ledger, ledger.plan(plan()).id, State.DONE)
    back = ledger.plan(replace(plan(), kind=Kind.READMIT, changes={}, frontends=("f1",), readmits={"f1": 1}))
    with pytest.raises(LockstepError), Database(ledger_engine).writing() as connection:
        command.downgrade(alembic(connection), "0001")
    assert revision(ledger_engine) == REVISION
    assert standing(ledger, back.id) == back


def test_a_ledger_without_audits_is_brought_up_with_all_that_is_in_it(empty_engine: Engine) -> None:
    with Database(empty_engine).writing() as connection:
        command.upgrade(alembic(connection), "0004")
        for row in ROWS_OF_0001[:2]:
            columns = {**OF_0001, **row, "decided_at": OF_0001["created_at"], "ended_at": OF_0001["created_at"]}
            names, values = ", ".join(columns), ", ".join(columns.values())
            connection.exec_driver_sql(f"INSERT INTO deployments ({names}) VALUES ({values})")
    upgrade(empty_engine)
    ledger = SqlLedger(empty_engine, Ticks())
    assert [(row.id, row.epoch, row.plan.healing) for row in ledger.history(None, 10)] == [(2, 2, None), (1, 1, None)]
    heal = ledger.plan(replace(plan(), kind=Kind.HEAL, changes={}, healing=Healing(1, 2)))
    assert (heal.epoch, heal.plan.healing) == (1, Healing(1, 2))
    with pytest.raises(LockstepError), Database(empty_engine).writing() as connection:
        command.downgrade(alembic(connection), "0004")
    assert revision(empty_engine) == REVISION
    assert standing(ledger, heal.id) == heal


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(ledger_engine: Engine) -> None:
    made = SqlLedger(ledger_engine, Ticks()).plan(plan())
    upgrade(ledger_engine)
    assert revision(ledger_engine) == REVISION
    assert standing(SqlLedger(ledger_engine, Ticks()), made.id) == made


def test_an_empty_database_has_no_revision(empty_engine: Engine) -> None:
    assert revision(empty_engine) is None


def test_a_newer_schema_is_left_alone_and_named(ledger_engine: Engine) -> None:
    with ledger_engine.connect() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0007'")
    assert revision(ledger_engine) == "0007"
    with pytest.raises(LockstepError, match="a newer Lockstep wrote the ledger's schema") as newer:
        upgrade(ledger_engine)
    assert newer.value.problem.found == "revision 0007"
    assert revision(ledger_engine) == "0007"


def test_an_upgrade_that_fails_leaves_nothing_behind(empty_engine: Engine) -> None:
    with empty_engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE reports (n integer)")
    with pytest.raises(LockstepError, match="nothing was written"):
        upgrade(empty_engine)
    with empty_engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["reports"]


def test_every_word_of_the_protocol_fits_its_column() -> None:
    """SQLite does not mind, PostgreSQL would refuse the row."""
    tables = metadata.tables
    columns = {
        ("deployments", "state"): State,
        ("deployments", "decision"): Decision,
        ("deployments", "kind"): Kind,
        ("reports", "step"): Step,
        ("reports", "outcome"): Outcome,
        ("audits", "policy"): healing.Policy,
        ("audits", "outcome"): audit.Outcome,
        ("findings", "kind"): finding.Kind,
        ("findings", "seriousness"): finding.Seriousness,
        ("treatments", "kind"): finding.Kind,
        ("treatments", "treatment"): healing.Treatment,
    }
    for (table, column), words in columns.items():
        room = tables[table].c[column].type.length  # type: ignore[attr-defined]
        assert max(len(word) for word in words) <= room


def test_the_revision_of_the_tables_is_the_last_of_the_migrations() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == REVISION
