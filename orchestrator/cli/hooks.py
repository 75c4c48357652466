"""`lockstep hooks`: whether hooks.yml is right, what receivers were told, and telling them again."""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from inventory import hooks as file
from inventory.problem import InventoryError
from orchestrator.adapters.inventory import usage
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.checking import problems_of
from orchestrator.cli.deployments import actor
from orchestrator.cli.output import AsJson, Exit, print_error, print_json, results
from orchestrator.cli.progress import problem_lines
from orchestrator.domain.delivery import Answer, Delivered, Delivery
from orchestrator.domain.errors import LockstepError, UsageError
from orchestrator.domain.trail import BEGINNING, Action, Entry
from orchestrator.ports import Receiver
from orchestrator.services.outbox import delivery_view

app = typer.Typer(name="hooks", no_args_is_help=True, help="Who is told of events, and what became of it.")

ReceiverName = Annotated[
    str | None, typer.Option("--receiver", metavar="NAME", help="A webhook or a notice, as hooks.yml names it.")
]


@app.command()
def check(
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="The file; by default LOCKSTEP_HOOKS or hooks.yml at home.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Whether a file of hooks is right: its fields, the files of secrets that it names, its templates. Sends nothing.

    Example:
      lockstep hooks check
    """
    where = path or Lockstep().settings.hooks
    try:
        hooks = file.load(where)
    except InventoryError as error:
        wrong: list[LockstepError] = [usage(each, f"the manual is {file.EXAMPLE}") for each in error.problems]
        hooks = file.Hooks()
    else:
        wrong = problems_of(hooks)
    names = [f"{kind}/{each.name}" for kind, found in _kinds(hooks) for each in found]
    if as_json:
        print_json({"ok": not wrong, "hooks": names, "problems": [each.problem.as_dict() for each in wrong]})
    else:
        for each in wrong:
            print_error(each, as_json=False)
        if not wrong:
            results().print(f"{where} is right: {', '.join(names) or 'no hooks'}", highlight=False, markup=False)
    if wrong:
        raise typer.Exit(Exit.USAGE)


@app.command("log")
def log_of_deliveries(
    receiver: ReceiverName = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that were given up.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What receivers were told, or are still to be told, newest first.

    Examples:
      lockstep hooks log --failed

      lockstep hooks log --receiver chatops --json
    """
    lockstep = Lockstep()
    name = None if receiver is None else _full_name(receiver, list(lockstep.deliveries.positions()))
    found = lockstep.deliveries.deliveries(name, failed=failed, limit=limit)
    if as_json:
        print_json({"deliveries": [delivery_view(delivery) for delivery in found]})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("id", "receiver", "event", "deployment", "state", "attempts", "status", "next try (UTC)", "problem"):
        table.add_column(column)
    for delivery in found:
        table.add_row(*map(Text, _row(delivery)))
    results().print(table)


@app.command()
def redeliver(
    number: Annotated[
        int | None, typer.Argument(metavar="[ID]", min=1, help="As `lockstep hooks log` shows it.")
    ] = None,
    receiver: ReceiverName = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that were given up for --receiver.")] = False,
    as_json: AsJson = False,
) -> None:
    """Deliver again, now: one delivery, or all that were given up for a receiver. Workers do it within a second.

    Examples:
      lockstep hooks redeliver 17

      lockstep hooks redeliver --receiver chatops --failed
    """
    lockstep = Lockstep()
    if (number is None) == (receiver is None) or failed != (receiver is not None):
        raise UsageError("which delivery?", expected="an ID, or --receiver NAME --failed")
    receivers = lockstep.receivers()
    if number is not None:
        repeated = 1
        lockstep.outbox.repeat(number, receivers, actor())
    else:
        repeated = lockstep.outbox.repeat_failed(_full_name(receiver or "", list(receivers)), receivers, actor())
    if as_json:
        print_json({"repeated": repeated})
    else:
        noun = "delivery is" if repeated == 1 else "deliveries are"
        results().print(f"{repeated} {noun} due now; see: lockstep hooks log", highlight=False)


@app.command()
def test(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A webhook or a notice, as hooks.yml names it.")],
    as_json: AsJson = False,
) -> None:
    """Send a test event at once, from this machine, and say what came back. It is in no trail and in no log.

    Example:
      lockstep hooks test chatops
    """
    lockstep = Lockstep()
    receivers = lockstep.receivers()
    receiver = receivers[_full_name(name, list(receivers))]
    event = Entry(0, lockstep.clock(), Action("hooks.test", actor(), detail={"test": True}), BEGINNING, BEGINNING)
    began = time.monotonic()
    answer = _told(receiver, event)
    seconds = time.monotonic() - began
    problem = {} if answer.problem is None else answer.problem.as_dict()
    if as_json:
        view = {"receiver": receiver.name, "taken": answer.taken, "status": answer.status, "problem": problem}
        print_json({**view, "seconds": round(seconds, 3)})
    else:
        word = Text("taken", "green") if answer.taken else Text("not taken", "bold red")
        status = "" if answer.status is None else f" with status {answer.status}"
        results().print(word.append(f" by {receiver.name}{status} after {seconds:.2f} s", "default"))
        for line in problem_lines(problem) if problem else ():
            results().print(line)
    raise typer.Exit(Exit.DONE if answer.taken else Exit.ABORTED)


def _told(receiver: Receiver, event: Entry) -> Answer:
    try:
        return receiver.send(f"test-{secrets.token_hex(8)}", event)
    except LockstepError as error:
        return Answer(taken=False, problem=error.problem)


def _kinds(hooks: file.Hooks) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return (
        ("trigger", hooks.triggers),
        ("zone", hooks.zones),
        ("webhook", hooks.webhooks),
        ("notice", hooks.notices),
    )


def _full_name(name: str, known: list[str]) -> str:
    """``chatops`` for ``webhook/chatops``, where no notice is called so as well. `UsageError` where it is not known."""
    found = [each for each in known if name == each or each.partition("/")[2] == name]
    if len(found) != 1:
        raise UsageError(
            f"{'more than one receiver is' if found else 'no receiver is'} called {name[:80]}",
            expected=f"one of {', '.join(sorted(found or known))}" if known else "a webhook or a notice in hooks.yml",
        )
    return found[0]


def _row(delivery: Delivery) -> tuple[str, ...]:
    action = delivery.entry.action
    return (
        str(delivery.number),
        delivery.receiver,
        action.name,
        "" if action.deployment is None else str(action.deployment),
        delivery.state.value,
        str(delivery.attempts),
        "" if delivery.status is None else str(delivery.status),
        _when(delivery.due_at) if delivery.state is Delivered.WAITING else "",
        " ".join(filter(None, (delivery.problem.get("what"), delivery.problem.get("found")))),
    )


def _when(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
