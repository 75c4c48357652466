"""A real fleet on one machine: sshd and nginx of each frontend, and HAProxy before them. docs/lab.md is its manual."""

from __future__ import annotations

from deploy.lab.daemon import Daemon, DaemonState
from deploy.lab.errors import LabError
from deploy.lab.lab import Lab

__all__ = ["Daemon", "DaemonState", "Lab", "LabError"]
