"""Settings in a file, in the environment and on the command line, each of them, and their reloading."""
import os
import platform
import re
import signal
import subprocess

import pytest

from conftest import BINARY, PATIENCE, wait_until

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def quern(*arguments, environment=None):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUERN_")}
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE,
                          env={**kept, **(environment or {})})


def printed(form):
    return quern("config", "print", "--format", form).stdout


class Setting:
    """One of those that `quern config print` prints."""

    def __init__(self, section, sentence, kind, variable, name, default):
        self.section, self.sentence, self.kind = section, sentence, kind
        self.variable, self.name, self.default = variable, name, default

    def other_value(self):
        """One that may be, and is not the default."""
        if self.kind == "yes or no":
            return "no" if self.default == "yes" else "yes"
        if found := re.search(r", (\d+) to (\d+)$", self.kind):
            return next(number for number in found.groups() if number != self.default)
        if found := re.search(r": (.*)$", self.kind):
            return found.group(1).split(", ")[-1]
        return {"MODE": "0640", "ADAPTERS": "a=/b", "ADDRESS": "[::1]:0", "ORIGINS": "http://a:1"}.get(self.kind, "/a/b")

    def wrong_value(self):
        any_text = re.fullmatch("[A-Z]+", self.kind) and self.kind != "MODE"
        return None if any_text else "-1"


def settings():
    section, found = None, []
    for entry in printed("conf").split("\n\n")[1:]:
        if entry.startswith("# [model.NAME]"):
            break
        if header := re.fullmatch(r"\[(\w+)\]", entry):
            section = header.group(1)
            continue
        assert max(map(len, entry.split("\n"))) < 80, entry
        *comment, line = entry.rstrip("\n").split("\n")
        fields = re.fullmatch(r"(.+\.) ([A-Z]+[^.]*|yes or no)\. --([a-z-]+), (QUERN_[A-Z_]+)\.(?: A reload applies it\.)?"
                              r"#([a-z-]+) =(?: (.+))?", " ".join(text.removeprefix("# ") for text in comment) + line)
        assert fields and fields.group(3) == fields.group(5), entry
        sentence, kind, name, variable, _, default = fields.groups()
        found.append(Setting(section, sentence, kind, variable, name, default or ""))
    return found


SETTINGS = settings()


def test_there_are_settings():
    assert len(SETTINGS) >= 16 and {"max-body", "threads"} <= {setting.name for setting in SETTINGS}


@pytest.fixture
def config_file(tmp_path):
    def write(text):
        path = tmp_path / "quern.conf"
        path.write_text(text)
        return path

    return write


def named(kind):
    """Those whose value is a file that is read at once, or all the others."""
    return [pytest.param(setting, id=setting.name) for setting in SETTINGS if (setting.kind == "FILE") == (kind == "FILE")]


@pytest.mark.parametrize("setting", named("value"))
def test_each_setting_is_read_from_file_environment_and_command_line(setting, config_file):
    value = setting.other_value()
    path = config_file(f"[{setting.section}]\n{setting.name} = {value} ; a comment\n")
    assert quern("config", "check", path).stdout == f"{setting.name} = {value}  ; {path}:2\n"
    by_environment = quern("config", "check", environment={setting.variable: value})
    assert by_environment.stdout == f"{setting.name} = {value}  ; {setting.variable}\n", by_environment.stderr
    assert quern("serve", f"--{setting.name}={value}", "--help").returncode == 0
    config_file(f"[{setting.section}]\n{setting.name} =\n")
    assert quern("config", "check", path).stdout == f"{setting.name} = {setting.default}  ; {path}:2\n"
    if wrong := setting.wrong_value():
        config_file(f"\n[{setting.section}]\n{setting.name} = {wrong}\n")
        refused = quern("config", "check", path)
        assert refused.returncode == 3 and f"{path}:3: {setting.name} takes " in refused.stderr, refused
        refused = quern("serve", environment={setting.variable: wrong})
        assert refused.returncode == 3 and f"{setting.variable} takes " in refused.stderr, refused
        assert quern("serve", f"--{setting.name}={wrong}").returncode == 2


@pytest.mark.parametrize("setting", named("FILE"))
def test_each_file_is_read_when_it_is_named(setting, config_file):
    path = config_file(f"[{setting.section}]\n{setting.name} = /nowhere/a\n")
    serve = "serve", "--listen=127.0.0.1:0"
    for where, refused in ((f"{path}:2", quern("config", "check", path)),
                           (setting.variable, quern(*serve, environment={setting.variable: "/nowhere/a"})),
                           (f"--{setting.name}", quern(*serve, f"--{setting.name}=/nowhere/a"))):
        assert refused.returncode == 3, refused
        assert "/nowhere/a cannot be read" in refused.stderr or f"{where}: {setting.name} needs " in refused.stderr, refused


@pytest.mark.parametrize("text, said", [
    ("[server]\nmax-bdy = 5\n", ":2: there is no setting max-bdy; did you mean max-body?"),
    ("[server]\nzebra = 5\n", ":2: there is no setting zebra\n"),
    ("[sever]\nmax-body = 5\n", ":2: there is no section [sever]; did you mean [server]?"),
    ("[model]\nmax-body = 5\n", ":2: max-body belongs to [server], not to [model]"),
    ("max-body = 5\n", ":1: max-body stands in no [section]"),
    ("[server]\nmax-body = 5\n\nmax-body = 6\n", ":4: max-body has been set in line 2 already"),
    ("[server]\nconfig = other.conf\n", ":2: there is no setting config"),
    ("[server]\nmax-body\n", ":2: neither [section] nor name = value"),
    ("[server\nmax-body = 5\n", ":1: neither [section] nor name = value"),
    ("[server]\nmax-body = 5 # five\n", ':2: max-body takes a whole number, 1 to 1073741824, not "5 # five"'),
    ("[server]\nmax-body = " + "5" * 5000 + "\n", ":2: the line is longer than"),
    ("[server]\n\0\n", ":2: a zero byte"),
    ("[model.a]\nfoldr = /a\n", ":2: there is no setting foldr; did you mean folder?"),
    ("[model.a]\nkv-dtype = f8\n", ':2: kv-dtype takes one of f32, f16, int8, not "f8"'),
    ("[model.a]\nmax-body = 5\n", ":2: there is no setting max-body"),
    ("[model.a]\nfolder = /a\n[model.b]\nfolder = /b\n[model.a]\nfolder = /c\n",
     ":6: folder has been set in line 2 already"),
    ("[modle.a]\nfolder = /a\n", ":2: there is no section [modle.a]; did you mean [model.a]?"),
    ("[model.]\nfolder = /a\n", ":2: [model.] has no name"),
    ("[model.a b]\nfolder = /a\n", ":2: [model.a b] has a blank or a control character in its name"),
    ("[model." + "n" * 60 + "]\nfolder = /a\n", "has a longer name than 42 bytes"),
    ("".join(f"[model.{i}]\nfolder = /a\n" for i in range(33)), ":66: there are more than 32 sections [model.…]"),
    ("[server]\nmax-body = 5\n[model]\nexact = perhaps", ':4: exact takes yes or no, not "perhaps"'),
])
def test_a_mistake_is_told_with_file_and_line(text, said, config_file):
    path = config_file(text)
    for command in (["config", "check", path], ["serve", "--config", path]):
        refused = quern(*command)
        assert refused.returncode == 3 and f"{path}:" in refused.stderr and said in refused.stderr, refused
        assert len(refused.stderr.splitlines()) == 1, refused.stderr


@pytest.mark.parametrize("name, text, said", [
    ("listen", "8080", 'The address "8080" must be HOST:PORT'),
    ("listen", "127.0.0.1:http", "must be HOST:PORT"),
    ("listen", "127.0.0.1:0 localhost", 'The address "localhost" must be'),
    ("listen", ":0", "host"),
    ("listen", "unix:", "socket path"),
    ("listen", "localhost:0 " * 9, "9 addresses"),
    ("cors-origins", "https://a.example/", '"https://a.example/" is no origin'),
    ("cors-origins", "* a.example", '"a.example" is no origin'),
    ("cors-origins", "https://", "no origin"),
])
def test_a_text_that_is_no_such_thing_is_told_with_its_place(name, text, said, config_file):
    section = next(setting.section for setting in SETTINGS if setting.name == name)
    path = config_file(f"[{section}]\n{name} = {text}\n")
    variable = f"QUERN_{name.replace('-', '_').upper()}"
    for where, refused in ((f"{path}:2: ", quern("config", "check", path)), (f"--{name}: ", quern("serve", f"--{name}={text}")),
                           (f"{variable}: ", quern("serve", environment={variable: text}))):
        assert refused.returncode == 3 and where in refused.stderr and said in refused.stderr, refused


@pytest.mark.parametrize("text, said", [
    ("[model.a]\naliases = b\n", "[model.a] does not say its folder"),
    ("[model.a]\nfolder =\n", "[model.a] does not say its folder"),
    ("[model.a]\nfolder = /a\n[model.b]\nfolder = /b\naliases = c a\n", 'the name "a", one of them [model.b]'),
    ("[model.a]\nfolder = /a\naliases = x\n[model.x]\nfolder = /b\n", 'the name "x", one of them [model.x]'),
    ("[model]\nmodel = /c\nmodel-id = a\n[model.a]\nfolder = /a\n", 'the name "a", one of them [model.a]'),
])
def test_models_that_cannot_be_are_refused(text, said, config_file):
    for command in ("config", "check"), ("serve", "--config"):
        refused = quern(*command, config_file(text))
        assert refused.returncode == 3 and said in refused.stderr, refused


def test_a_section_of_a_model_is_read_and_shown(config_file):
    path = config_file("[model.org/a]\nfolder = /a\naliases = b c\n\nload = start\n")
    assert quern("config", "check", path).stdout == (
        f"[model.org/a]\nfolder = /a  ; {path}:2\naliases = b c  ; {path}:3\nload = start  ; {path}:5\n")


def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path):
    assert "No such file" in quern("serve", "--config", tmp_path / "none.conf").stderr
    refused = quern("config", "check", environment={"QUERN_CONFIG": str(tmp_path)})
    assert refused.returncode == 3 and "is a folder" in refused.stderr, refused


def test_only_a_variable_that_nearly_is_one_of_ours_is_refused():
    refused = quern("config", "check", environment={"QUERN_MAX_BODDY": "5"})
    assert refused.returncode == 3 and "no setting QUERN_MAX_BODDY; did you mean QUERN_MAX_BODY?" in refused.stderr
    of_kubernetes = {"QUERN_SERVICE_HOST": "10.0.0.1", "QUERN_PORT": "tcp://10.0.0.1:80", "QUERN_MAX_BODY": ""}
    assert quern("config", "check", environment=of_kubernetes).returncode == 0


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(config_file, monkeypatch, start_server):
    path = config_file("[server]\nmax-body = 100\n[model]\nmodel-id = of-file\n[engine]\nmax-sessions = 3\n")
    monkeypatch.setenv("QUERN_MODEL_ID", "of-environment")
    monkeypatch.setenv("QUERN_MAX_BODY", "200")
    server = start_server("--config", path, "--max-body", 300)
    assert server.request("GET", "/v1/models")[2]["data"][0]["id"] == "of-environment"
    assert "larger than the 300 bytes" in server.request("POST", "/v1/completions", "x" * 301)[2]["error"]["message"]


def test_a_reload_applies_what_it_can_and_says_what_it_cannot(config_file, start_server):
    path = config_file("[server]\nmax-body = 100\n")
    server = start_server("--config", path)

    def reload(text, said):
        config_file(text)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: said in server.stderr_text(), said)

    def refused_size(size):
        status, _, answer = server.request("POST", "/v1/completions", "x" * size)
        return status == 413 and f"{size - 1} bytes" in answer["error"]["message"]

    assert refused_size(101)
    reload("[server]\nmax-body = 200\nmax-connections = 7\n", "the configuration has been read again")
    assert refused_size(201)
    assert "max-body has changed\n" in server.stderr_text()
    assert "max-connections has changed, and needs a restart" in server.stderr_text()
    reload("[server]\nmax-body = 300\nmax-conections = 7\n", "the configuration stays as it was")
    assert "did you mean max-connections?" in server.stderr_text()
    assert refused_size(201)


def between_marks(path, mark):
    with open(os.path.join(ROOT, path)) as file:
        return re.search(rf"{re.escape(mark)}\n(.*)\n?{re.escape(mark)}\n", file.read(), re.DOTALL).group(1)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have other kernels to name")
def test_what_is_written_about_settings_is_what_the_program_prints():
    advice = "'./run docs' writes them anew"
    with open(os.path.join(ROOT, "config", "quern.conf")) as file:
        assert file.read() == printed("conf"), advice
    assert between_marks("docs/man/quern.conf.5", '.\\" settings') == printed("man"), advice
    assert between_marks("docs/configuration.md", "<!-- settings -->") == printed("markdown"), advice


def test_the_file_of_defaults_changes_nothing_when_its_lines_are_let_in(config_file):
    text = re.sub(r"^#([a-z-]+ =)", r"\1", printed("conf"), flags=re.MULTILINE)
    checked = quern("config", "check", config_file(text))
    defaults = {setting.name: setting.default for setting in SETTINGS}
    assert checked.returncode == 0, checked.stderr
    assert {name: value for name, value in re.findall(r"^(\S+) = (.*)  ;", checked.stdout, re.MULTILINE)} == defaults
