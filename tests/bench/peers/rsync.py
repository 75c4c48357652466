"""rsync over OpenSSH: one connection for each frontend, many frontends at once, then all flips."""

from __future__ import annotations

from tests.bench.contained import Command
from tests.bench.peers.peer import Site, machine_program
from tests.bench.release import Release

#: Of 4, 8, 16, 32 and 64 pushes at once, this was the fastest for 16 and for 64 frontends on two cores.
PUSHES = 16

# Contents have to be compared: by size and time, as is rsync's default, a changed file is taken for the old one.
_SCRIPT = """\
#!/bin/sh
set -eu
ssh='ssh -F {config} -o ControlMaster=auto -o ControlPath={scratch}/%n.ctl -o ControlPersist=60'
xargs -P {pushes} -I@ rsync -a --checksum --mkpath {link_dest} -e "$ssh" \\
  {tree}/ @:{lab}/@/root/releases/{version}/ <{hosts}
xargs -P {frontends} -I@ $ssh @ \\
  'cd {lab}/@/root && ln -s releases/{version} .next && mv -T .next current' <{hosts}
"""


class Rsync:
    """A script around rsync, as many have one."""

    name = "rsync"

    def check(self) -> None:
        machine_program("rsync")

    def command(self, site: Site, release: Release, previous: Release | None) -> Command:
        lab = site.lab.directory
        text = _SCRIPT.format(
            config=site.ssh_config,
            scratch=site.scratch,
            pushes=PUSHES,
            frontends=len(site.names),
            link_dest="" if previous is None else f"--link-dest=../{previous.version}",
            tree=release.tree,
            lab=lab,
            version=release.version,
            hosts=site.write("hosts", "".join(f"{name}\n" for name in site.names)),
        )
        return Command(["sh", str(site.write("deploy.sh", text))], site.scratch, {})
