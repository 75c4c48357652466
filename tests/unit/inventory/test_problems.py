from __future__ import annotations

import pytest

from tests.unit.inventory.documents import VALID, changed, host_key, place_of, problems

NAME = "a name: letters, digits, '.', '_' and '-', at most 63"
WEB = "environments.Production.fleets.web"
HAPROXY_NAME = "a name in HAProxy: letters, digits, '_', '.', ':' and '-', at most 63"
SOCKETS = "a list of admin sockets, such as [unix:///run/haproxy/admin.sock]: one of every HAProxy before the fleet"
COMMAND = "a list: the absolute path of a program, then its arguments, such as [/usr/local/bin/check, --fast]"
#: The valid document's load balancer.
BALANCER = VALID[VALID.index("        load_balancer:") : VALID.index("        gates:")]

# Each case: what to replace in the valid document, by what, where the problem points, its field, and its words.
CASES = {
    "unknown field": ("host: app", "hots: app", "hots", f"{WEB}.hots", "is not a field", "'host', perhaps"),
    "unknown field in capitals": ("host: app", "HOST: app", "HOST", f"{WEB}.HOST", "is not a field", "'host', perhaps"),
    "unknown field without a neighbour": (
        "host: app.example.com",
        "zzz: 1",
        "zzz",
        f"{WEB}.zzz",
        "is not a field",
        "one of apps, frontends, policy, load_balancer, gates, audits, host, url, defaults",
    ),
    "unknown app": ("[ToDo, Portal]", "[ToDo, Potral]", "Potral", f"{WEB}.apps", "names no app", "'Portal', perhaps"),
    "app twice": (
        "[ToDo, Portal]",
        "[Portal, Portal]",
        "Portal]",
        f"{WEB}.apps",
        "names an app twice",
        "each app once",
    ),
    "app at / beside another": (
        "[ToDo, Portal]",
        "[ToDo, Landing]",
        "Landing]\n        host",
        f"{WEB}.apps",
        "mounts one app over another",
        "a mount path of its own for each app, and / only for a fleet's only app",
    ),
    "no apps": (
        "[ToDo, Portal]",
        "[]",
        "[]",
        f"{WEB}.apps",
        "is not a list of apps",
        "a list of names under apps, such as [ToDo]",
    ),
    "bad mount": (
        "mount: /Portal/",
        "mount: Portal",
        "Portal}",
        "apps.Portal.mount",
        "does not fit",
        "a mount path: / or /Segment/",
    ),
    "half a character": (
        "mount: /Portal/",
        'mount: "/\\ud800/"',
        '"/',
        "apps.Portal.mount",
        "has characters that can't be printed",
        "",
    ),
    "app that is no mapping": (
        "Landing: {mount: /}",
        "Landing: {mount: /}\n  Help: /Help/",
        "/Help/",
        "apps.Help",
        "is not a mapping",
        "names, each with a value",
    ),
    "bad app name": (
        "  Landing: {mount: /}",
        "  Landing: {mount: /}\n  9th: {mount: /9th/}",
        "9th: ",
        "apps.9th",
        "does not fit",
        "an app's name: a letter, then letters, digits, '_' and '-', at most 63",
    ),
    "bad environment name": (
        "  Production:\n",
        "  Pro duction:\n",
        "Pro duction",
        "environments.Pro duction",
        "does not fit",
        NAME,
    ),
    "bad fleet name": (
        "      landing:\n",
        "      land/ing:\n",
        "land/ing",
        "environments.Production.fleets.land/ing",
        "does not fit",
        NAME,
    ),
    "bad frontend name": (
        "fe2: {",
        "-fe2: {",
        "-fe2",
        f"{WEB}.frontends.-fe2",
        "does not fit",
        NAME,
    ),
    "port of the wrong kind": (
        "port: 22,",
        "port: '22',",
        "'22'",
        f"{WEB}.frontends.fe1.port",
        "is of the wrong kind",
        "a whole number",
    ),
    "truth value for a number": (
        "max_drained: 1",
        "max_drained: true",
        "true",
        f"{WEB}.policy.max_drained",
        "is of the wrong kind",
        "a whole number",
    ),
    "port out of range": (
        "port: 22,",
        "port: 65536,",
        "65536",
        f"{WEB}.frontends.fe1.port",
        "is out of range",
        "at most 65,535",
    ),
    "bad default": ("port: 2222", "port: 0", "0, root", f"{WEB}.defaults.port", "is out of range", "at least 1"),
    "bad choice": (
        "unreachable: drain",
        "unreachable: explode",
        "explode",
        f"{WEB}.policy.unreachable",
        "is not one of the choices",
        "'abort' or 'drain'",
    ),
    "neither of two kinds": (
        "verify: all",
        "verify: some",
        "some",
        f"{WEB}.policy.verify",
        "is of the wrong kind",
        "'all' or a whole number",
    ),
    "no time at all": (
        "arm_seconds: 2.5",
        "arm_seconds: 0",
        "0}",
        f"{WEB}.policy.arm_seconds",
        "is out of range",
        "more than 0",
    ),
    "not a number": (
        "arm_seconds: 2.5",
        "arm_seconds: .inf",
        ".inf",
        f"{WEB}.policy.arm_seconds",
        "is out of range",
        "at most 86,400",
    ),
    "drain without room": (
        ", max_drained: 1",
        "",
        "policy: {unr",
        f"{WEB}.policy",
        "unreachable: drain needs max_drained of at least 1",
        "",
    ),
    "drain that nobody could confirm": (
        BALANCER,
        "",
        "drain, max",
        f"{WEB}.policy.unreachable",
        "needs a load_balancer",
        "a load_balancer beside policy, which confirms that the frontend is out; or unreachable: abort",
    ),
    "keeps nothing": (
        "arm_seconds: 2.5",
        "keep: 0",
        "0}",
        f"{WEB}.policy.keep",
        "is out of range",
        "at least 1",
    ),
    "keeps for less than no time": (
        "arm_seconds: 2.5",
        "keep_hours: -0.5",
        "-0.5",
        f"{WEB}.policy.keep_hours",
        "is out of range",
        "at least 0",
    ),
    "keeps for ever": (
        "arm_seconds: 2.5",
        "keep_hours: .inf",
        ".inf",
        f"{WEB}.policy.keep_hours",
        "is out of range",
        "at most 87,600",
    ),
    "a gate without a command": (
        "{command: [/opt/tell]}",
        "{seconds: 5}",
        "on_abort",
        f"{WEB}.gates.on_abort.command",
        "is missing",
        COMMAND,
    ),
    "a gate's command in one piece": (
        "[/opt/tell]",
        "/opt/tell --all",
        "/opt/tell",
        f"{WEB}.gates.on_abort.command",
        "is not a list",
        COMMAND,
    ),
    "a program that the path would have to be searched for": (
        "[/opt/tell]",
        "[tell]",
        "[tell]",
        f"{WEB}.gates.on_abort.command",
        "does not fit",
        "the absolute path of a program, then its arguments, at most 64 in all",
    ),
    "a gate that runs nothing": (
        "[/opt/tell]",
        "[]",
        "[]",
        f"{WEB}.gates.on_abort.command",
        "does not fit",
        "the absolute path of a program, then its arguments, at most 64 in all",
    ),
    "an argument that is no text": (
        "[/opt/tell]",
        "[/opt/tell, 5]",
        "[/opt/tell, 5]",
        f"{WEB}.gates.on_abort.command",
        "is of the wrong kind",
        "text; in quotes where it looks like something else",
    ),
    "a gate that may run for too long": (
        "seconds: 5}",
        "seconds: 3601}",
        "3601",
        f"{WEB}.gates.before_stage.seconds",
        "is out of range",
        "at most 3600",
    ),
    "no such gate": (
        "on_abort:",
        "on_aborted:",
        "on_aborted",
        f"{WEB}.gates.on_aborted",
        "is not a field",
        "'on_abort', perhaps",
    ),
    "another kind of load balancer": (
        "kind: haproxy",
        "kind: nginx",
        "nginx",
        f"{WEB}.load_balancer.kind",
        "is not one of the choices",
        "'haproxy'",
    ),
    "load balancer without a kind": (
        "          kind: haproxy\n",
        "",
        "load_balancer:",
        f"{WEB}.load_balancer.kind",
        "is missing",
        "haproxy",
    ),
    "load balancer without a backend": (
        "          backend: web\n",
        "",
        "load_balancer:",
        f"{WEB}.load_balancer.backend",
        "is missing",
        "the name of HAProxy's backend that holds the frontends",
    ),
    "load balancer without sockets": (
        '          sockets: [unix:///run/haproxy/admin.sock, "tcp://[fd00::5]:9999"]\n',
        "",
        "load_balancer:",
        f"{WEB}.load_balancer.sockets",
        "is missing",
        SOCKETS,
    ),
    "no sockets": (
        '[unix:///run/haproxy/admin.sock, "tcp://[fd00::5]:9999"]',
        "[]",
        "[]\n          backend",
        f"{WEB}.load_balancer.sockets",
        "is not a list of sockets",
        SOCKETS,
    ),
    "a socket twice": (
        '"tcp://[fd00::5]:9999"',
        '"unix:///run/haproxy/admin.sock"',
        '"unix:',
        f"{WEB}.load_balancer.sockets",
        "names a socket twice",
        "each once",
    ),
    "commands for a backend": (
        "backend: web",
        "backend: 'web; shutdown frontend web'",
        "'web;",
        f"{WEB}.load_balancer.backend",
        "does not fit",
        HAPROXY_NAME,
    ),
    "commands for a server": (
        "{fe1: srv1}",
        '{fe1: "srv1\\u00a0state"}',
        '"srv1',
        f"{WEB}.load_balancer.servers.fe1",
        "has characters that can't be printed",
        "",
    ),
    "another backend's server": (
        "{fe1: srv1}",
        "{fe1: other/srv1}",
        "other/",
        f"{WEB}.load_balancer.servers.fe1",
        "does not fit",
        HAPROXY_NAME,
    ),
    "server of no frontend": (
        "{fe1: srv1}",
        "{fe11: srv1}",
        "fe11",
        f"{WEB}.load_balancer.servers.fe11",
        "names no frontend",
        "'fe1', perhaps",
    ),
    "servers that are no mapping": (
        "{fe1: srv1}",
        "[srv1]",
        "[srv1]",
        f"{WEB}.load_balancer.servers",
        "is not a mapping",
        "names, each with a value",
    ),
    "one server for two frontends": (
        "{fe1: srv1}",
        "{fe1: fe2}",
        "load_balancer:",
        f"{WEB}.load_balancer",
        "has one server for two frontends",
        "a server of its own in the backend for each frontend",
    ),
    "a fleet's server in another fleet": (
        "        apps: [ToDo]\n",
        "        apps: [ToDo]\n        load_balancer: {kind: haproxy, backend: web, servers: {dev1: srv1},\n"
        '          sockets: ["tcp://[fd00::5]:9999"]}\n',
        "load_balancer: {",
        "environments.Development.fleets.web.load_balancer",
        "has one server for two frontends",
        "a server of its own in the backend for each frontend",
    ),
    "number for a text": (
        "host: app.example.com",
        "host: 8080",
        "8080\n        url",
        f"{WEB}.host",
        "is of the wrong kind",
        "text; in quotes where it looks like something else",
    ),
    "url with a path": (
        "https://app.example.com",
        "https://app.example.com/x",
        "https://app.example.com/x",
        f"{WEB}.url",
        "does not fit",
        "only a scheme, an address and a port, such as http://10.0.0.11:8080",
    ),
    "url of another scheme": (
        "https://app.example.com",
        "ftp://app.example.com",
        "ftp:",
        f"{WEB}.url",
        "is not a usable URL",
        "a URL that begins with http:// or https://",
    ),
    "no url": (
        '"http://10.0.0.12"',
        "10.0.0.12/",
        "10.0.0.12/",
        f"{WEB}.frontends.fe2.url",
        "is not a usable URL",
        "a URL such as http://10.0.0.11:8080",
    ),
    "relative root": (
        "defaults: {user: deploy, port: 2222, root: /srv/lockstep",
        "defaults: {user: deploy, port: 2222, root: srv",
        "srv, identity",
        f"{WEB}.defaults.root",
        "does not fit",
        "an absolute path of letters, digits, '.', '_' and '-'",
    ),
    "empty identity": (
        "identity: ~/.ssh/lockstep",
        "identity: ''",
        "''",
        f"{WEB}.defaults.identity",
        "does not fit",
        "the path of a private key",
    ),
    "host key with a comment": (
        host_key(2),
        f"{host_key(2)} root@fe2",
        host_key(2),
        f"{WEB}.frontends.fe2.host_key",
        "does not fit",
        "base64 alone after the key's type, with no comment behind it",
    ),
    "missing without a default": (
        "            user: deploy\n            root: /srv/lockstep\n            host_key: " + host_key(3),
        "            root: /srv/lockstep\n            host_key: " + host_key(3),
        "land1:",
        "environments.Production.fleets.landing.frontends.land1.user",
        "is missing",
        "a login name, here or in the fleet's defaults",
    ),
    "frontends that are no mapping": (
        "frontends:\n          land1:\n",
        "frontends:\n          - land1:\n",
        "- land1",
        "environments.Production.fleets.landing.frontends",
        "is not a mapping",
        "names, each with a value",
    ),
    "merge key": (
        "port: 22, ",
        "port: 22, <<: {}, ",
        "<<",
        f"{WEB}.frontends.fe1.<<",
        "is a merge key, which YAML 1.2 does not have",
        "the fields written out, or an alias of the whole mapping",
    ),
    "own name as a field": (
        "port: 22, ",
        "port: 22, name: fe1, ",
        "name",
        f"{WEB}.frontends.fe1.name",
        "is not a field",
        "one of address, port, user, host_key, identity, root, url",
    ),
    "the same root at one address": (
        "address: land1.example.com\n            user: deploy",
        "address: 192.168.0.31\n            user: deploy",
        "192.168.0.31\n            user: deploy\n            root: /srv/lockstep\n            host_key: " + host_key(4),
        "environments.Development.fleets.web.frontends.dev1.address",
        "is another frontend's, and so are port and root",
        "each frontend in one fleet, under one name",
    ),
    "the same url in another fleet": (
        "url: http://192.168.0.31",
        "url: HTTP://LAND1.example.com:8080/",
        "HTTP",
        "environments.Development.fleets.web.frontends.dev1.url",
        "is another frontend's",
        "each frontend in one fleet, under one name",
    ),
    "the same url in one fleet": (
        '"http://10.0.0.11"',
        "http://10.0.0.12:80",
        "http://10.0.0.12:80",
        f"{WEB}.frontends.fe1.url",
        "is another frontend's",
        "each frontend in one fleet, under one name",
    ),
}


@pytest.mark.parametrize(("old", "new", "at", "field", "what", "expected"), CASES.values(), ids=CASES.keys())
def test_a_problem_says_where_it_is_and_what_would_be_right(
    old: str, new: str, at: str, field: str, what: str, expected: str
) -> None:
    text = changed(old, new)
    (problem,) = problems(text)
    assert (problem.line, problem.column) == place_of(text, at)
    assert (problem.file, problem.field, problem.what, problem.expected) == ("inventory.yml", field, what, expected)


@pytest.mark.parametrize(
    "socket",
    [
        "/run/haproxy/admin.sock",
        "unix://run/haproxy/admin.sock",
        "unix:///run/haproxy/../admin.sock",
        "unix:///run/haproxy/admin sock",
        "unix:///" + "x" * 107,
        "tcp://10.0.0.5",
        "tcp://10.0.0.5:0",
        "tcp://10.0.0.5:65536",
        "tcp://fd00::5:9999",
        "tcp://user@10.0.0.5:9999",
        "tcp://10.0.0.5:9999/",
        "http://10.0.0.5:9999",
        9999,
    ],
)
def test_what_is_no_admin_socket_is_refused_at_its_place_in_the_list(socket: str | int) -> None:
    text = changed('"tcp://[fd00::5]:9999"', repr(socket))
    (problem,) = problems(text)
    assert (problem.line, problem.column) == place_of(text, f"{socket!r}]\n          backend")
    assert problem.field == f"{WEB}.load_balancer.sockets"
    if isinstance(socket, str):
        assert problem.expected == "an admin socket such as unix:///run/haproxy/admin.sock or tcp://10.0.0.5:9999"


def test_the_longest_path_of_a_socket_is_the_system_s() -> None:
    assert problems(changed("unix:///run/haproxy/admin.sock", "unix:///" + "x" * 106)) == ()


def test_all_that_is_wrong_with_a_load_balancer_comes_at_once() -> None:
    text = changed("kind: haproxy", "kind: other\n          port: 1").replace("backend: web", "backend: a/b")
    text = text.replace("unix:///run/haproxy/admin.sock", "admin.sock").replace("{fe1: srv1}", "{fe1: '', fe3: x}")
    names = ["kind", "port", "sockets", "backend", "servers.fe1", "servers.fe3"]
    assert [problem.field for problem in problems(text)] == [f"{WEB}.load_balancer.{name}" for name in names]


def test_a_problem_shows_what_was_found() -> None:
    (problem,) = problems(changed("port: 22,", "port: 99999,"))
    assert problem.found == "99999"
    line, column = problem.line, problem.column
    assert str(problem) == (
        f"inventory.yml:{line}:{column}: {WEB}.frontends.fe1.port: is out of range\n"
        "  expected: at most 65,535\n"
        "  found: 99999"
    )


def test_a_shared_frontend_names_the_one_that_was_there_first() -> None:
    (problem,) = problems(changed("url: http://192.168.0.31", "url: http://10.0.0.12"))
    assert problem.found == "Production/web/fe2"


def test_the_same_root_behind_another_port_is_another_tree() -> None:
    text = changed("address: 10.0.0.12", "address: 10.0.0.11")
    assert problems(text) == ()  # fe1 logs in at 22, fe2 at 2222


def test_all_problems_come_at_once_by_line() -> None:
    text = changed("{mount: /Portal/}", "{mount: Portal, mout: /}").replace("port: 22,", "port: 0, usr: x,")
    text = text.replace("apps: [ToDo]", "apps: [Nothing]").replace("      landing:", "      land ing:")
    assert [problem.field for problem in problems(text)] == [
        "apps.Portal.mount",
        "apps.Portal.mout",
        f"{WEB}.frontends.fe1.port",
        f"{WEB}.frontends.fe1.usr",
        "environments.Production.fleets.land ing",
        "environments.Development.fleets.web.apps",
    ]


def test_a_wrong_default_is_one_problem_for_all_the_frontends_that_use_it() -> None:
    assert len(problems(changed("user: deploy, port", "user: 0, port"))) == 1


def test_a_wrong_default_is_a_problem_where_nobody_uses_it() -> None:
    text = changed("        defaults: {user: deploy, port", "        defaults: {user: 0, port").replace(
        "fe2: {", "fe2: {user: deploy, "
    )
    assert [problem.field for problem in problems(text)] == [f"{WEB}.defaults.user"]


def test_a_name_is_judged_even_where_its_value_is_of_the_wrong_kind() -> None:
    text = changed("{mount: /}", "{mount: /}\n  9th: /9th/")
    assert [(p.column, p.what) for p in problems(text)] == [(3, "does not fit"), (8, "is not a mapping")]


def test_the_top_and_each_level_must_have_their_fields() -> None:
    assert [p.field for p in problems("{}")] == ["apps", "environments"]
    text = "apps: {}\nenvironments: {A: {}, B: {fleets: {web: {}}}}"
    assert [(p.field, p.what) for p in problems(text)] == [
        ("environments.A.fleets", "is missing"),
        ("environments.B.fleets.web.apps", "is missing"),
        ("environments.B.fleets.web.frontends", "is missing"),
    ]


def test_a_fleet_needs_a_frontend() -> None:
    text = "apps: {A: {mount: /}}\nenvironments: {E: {fleets: {web: {apps: [A], frontends: {}}}}}"
    (problem,) = problems(text)
    assert (problem.what, problem.expected) == ("is empty", "at least one frontend")
