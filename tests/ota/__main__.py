"""The long proof of over-the-air updates: a real fleet, deployments and rollbacks without pause, devices that upgrade.

examples:
  python -m tests.ota
  python -m tests.ota --deployments 20 --frontends 4

Half of the devices are lockstep clients, half are stock ones (docs/observe.md, "Behaviours"); all of them come through
HAProxy. The last line of standard output is one JSON object. The exit code is 0 only if no device saw anything torn,
backward or broken, if devices of each behaviour completed upgrades, and if every deployment was done; 1 if not, 2 if
nothing could be played.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.lab.errors import LabError
from deploy.programs import ProgramError
from orchestrator.domain.errors import LockstepError
from tests.ota.proof import ProofError, passed, play


def main(words: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.ota", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("deployments", 200), ("frontends", 8), ("clients", 16)):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{default} unless given")
    given = parser.parse_args(words)
    with TemporaryDirectory(prefix="lockstep-ota-") as directory:
        try:
            figures = play(
                Path(directory),
                deployments=given.deployments,
                frontends=given.frontends,
                clients=given.clients,
                say=lambda text: print(text, file=sys.stderr, flush=True),  # noqa: T201
            )
        except (ProofError, LockstepError) as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        except (LabError, ProgramError) as error:
            sys.stderr.write(f"error: {error}\n")
            return 2
    sys.stdout.write(f"{json.dumps(figures)}\n")
    return 0 if passed(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
