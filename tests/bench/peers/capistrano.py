"""Capistrano: its flow and its directories; an archive is uploaded in the place of a repository's clone."""

from __future__ import annotations

from tests.bench.contained import Command
from tests.bench.peers.peer import Site, machine_program
from tests.bench.release import Release

_CAPFILE = """\
require "capistrano/setup"
require "capistrano/deploy"
require "capistrano/scm/plugin"

# Frontends hold no repository: what is deployed is a build, so it is copied, as capistrano-scm-copy does.
class ArchiveCopy < Capistrano::SCM::Plugin
  def define_tasks
    eval_rakefile File.expand_path("archive.rake", __dir__)
  end

  def register_hooks
    after "deploy:new_release_path", "archive:create_release"
  end
end
install_plugin ArchiveCopy
"""
_RAKE = """\
namespace :archive do
  task :pack do
    run_locally { execute :tar, "-C", fetch(:tree), "-cf", fetch(:archive), "." }
  end

  task create_release: :pack do
    on release_roles(:all) do |host|
      remote = "#{host.properties.root}/release.tar"
      upload! fetch(:archive), remote
      execute :mkdir, "-p", release_path
      execute :tar, "-C", release_path, "-xf", remote
      execute :rm, remote
    end
  end
end
"""
_DEPLOY = """\
set :application, "todo"
set :tree, "@TREE@"
set :archive, "@SCRATCH@/release.tar"
# The frontends lie on one machine: each has its own root, which its shell finds by its home.
set :deploy_to, "$HOME/../../root"
set :format, :simpletext
set :log_level, :warn
set :ssh_options, config: "@CONFIG@", user: "@USER@", keys: ["@KEY@"], keys_only: true,
  auth_methods: %w[publickey], user_known_hosts_file: "@KNOWN_HOSTS@", verify_host_key: :always, use_agent: false
# The one writes a file into the release, which then is not what was built; the other takes no path with a variable.
Rake::Task["deploy:set_current_revision"].clear
Rake::Task["deploy:log_revision"].clear
"""


class Capistrano:
    """A Capfile, a deploy file and a stage."""

    name = "capistrano"

    def check(self) -> None:
        machine_program("cap")

    def command(self, site: Site, release: Release, previous: Release | None) -> Command:
        lab, scratch = site.lab, site.scratch
        values = {
            "@TREE@": release.tree,
            "@SCRATCH@": scratch,
            "@CONFIG@": site.ssh_config,
            "@USER@": lab.blueprint.user,
            "@KEY@": lab.blueprint.client_key,
            "@KNOWN_HOSTS@": lab.blueprint.known_hosts,
        }
        text = _DEPLOY
        for placeholder, value in values.items():
            text = text.replace(placeholder, str(value))
        (scratch / "config" / "deploy").mkdir(parents=True, exist_ok=True)
        site.write("Capfile", _CAPFILE)
        site.write("archive.rake", _RAKE)
        site.write("config/deploy.rb", text)
        servers = "".join(f'server "{each.name}", roles: %w[web], root: "{each.root}"\n' for each in lab.frontends)
        site.write("config/deploy/lab.rb", servers)
        return Command([str(machine_program("cap")), "lab", "deploy"], scratch, {"LC_ALL": "C.UTF-8"})
