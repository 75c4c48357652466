"""`python -m orchestrator.cli`: the same as `lockstep`."""

from orchestrator.cli import main

main()
