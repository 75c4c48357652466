"""The tools that Lockstep is measured against, by name."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.peers.ansible import Ansible
from tests.bench.peers.capistrano import Capistrano
from tests.bench.peers.fabric import Fabric
from tests.bench.peers.peer import Peer
from tests.bench.peers.pyinfra import Pyinfra
from tests.bench.peers.rsync import Rsync

PEERS: Mapping[str, Peer] = {peer.name: peer for peer in (Rsync(), Pyinfra(), Ansible(), Capistrano(), Fabric())}
