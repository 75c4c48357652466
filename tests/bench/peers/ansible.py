"""Ansible: ansible.posix.synchronize into a new release, then the link, over all frontends at once."""

from __future__ import annotations

from tests.bench.contained import Command
from tests.bench.peers.peer import Site, bench_program, machine_program
from tests.bench.release import Release

#: No facts, one connection kept for each frontend, no file left there for a task, and as many forks as are fastest.
_CONFIGURATION = """\
[defaults]
inventory = {scratch}/inventory.ini
forks = {forks}
gathering = explicit
host_key_checking = True
callback_result_format = yaml
stdout_callback = ansible.builtin.minimal
interpreter_python = /usr/bin/python3
local_tmp = {scratch}/tmp
retry_files_enabled = False

[ssh_connection]
pipelining = True
ssh_args = -F {config} -o ControlMaster=auto -o ControlPersist=60s
control_path_dir = {scratch}/cp
"""
_PLAYBOOK = """\
- hosts: web
  gather_facts: false
  tasks:
    - name: push
      ansible.posix.synchronize:
        src: {tree}/
        dest: "{{{{ root }}}}/releases/{version}/"
        archive: true
        checksum: true
        use_ssh_args: true
        ssh_connection_multiplexing: true
        rsync_path: rsync
        rsync_opts: ["--mkpath"]
{link_dest}    - name: flip
      ansible.builtin.raw: cd {{{{ root }}}} && ln -s releases/{version} .next && mv -T .next current
"""
_LINK = """\
        link_dest: ["{{{{ root }}}}/releases/{version}"]
"""
#: Two cores do no more at once; more forks than this were slower.
FORKS = 16


class Ansible:
    """A playbook."""

    name = "ansible"

    def check(self) -> None:
        bench_program("ansible-playbook")
        machine_program("rsync")

    def command(self, site: Site, release: Release, previous: Release | None) -> Command:
        hosts = "".join(f"{each.name} root={each.root}\n" for each in site.lab.frontends)
        # Absolute: Ansible would resolve another one on the controller.
        link = "" if previous is None else _LINK.format(version=previous.version)
        forks = min(FORKS, len(site.names))
        site.write("ansible.cfg", _CONFIGURATION.format(scratch=site.scratch, forks=forks, config=site.ssh_config))
        site.write("inventory.ini", f"[web]\n{hosts}")
        site.write("deploy.yml", _PLAYBOOK.format(tree=release.tree, version=release.version, link_dest=link))
        environment = {
            "ANSIBLE_CONFIG": str(site.scratch / "ansible.cfg"),
            "ANSIBLE_HOME": str(site.scratch / "ansible"),
            "LC_ALL": "C.UTF-8",
        }
        return Command([str(bench_program("ansible-playbook")), "deploy.yml"], site.scratch, environment)
