"""What keeps a daemon from starting: one sentence that says what to do, and an exit status for each."""
import os
import shutil
import subprocess

import pytest

from conftest import BINARY, MODELS, PATIENCE, wait_until

GEMMA = os.path.join(MODELS, "gemma3-int4")
# Root reads what nobody may, unless it is kept from that.
PLAIN = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def refused(*arguments, environment=None, listen="127.0.0.1:0"):
    """Exit status, and the one line that says why."""
    command = [*PLAIN, BINARY, "serve", "--listen", listen, "--log-level", "error", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, **(environment or {})})
    (line,) = ended.stderr.splitlines()
    assert line.startswith("quern"), line
    return ended.returncode, line


def test_a_port_in_use(demo):
    status, said = refused(listen=f"127.0.0.1:{demo.port}")
    assert status == 5 and "Address already in use; end the process that listens there, or set listen" in said


def test_an_address_of_no_machine():
    status, said = refused(listen="192.0.2.1:0")
    assert status == 5 and "set listen to an address of this machine" in said


def test_a_model_that_is_not_there(tmp_path):
    status, said = refused(tmp_path / "none")
    assert status == 4 and f"model folder {tmp_path}/none: No such file" in said


@pytest.mark.parametrize("hidden", ["model.onnx", "tokenizer.json", "."])
def test_a_model_that_cannot_be_read(tmp_path, hidden):
    folder = tmp_path / "model"
    shutil.copytree(GEMMA, folder)
    os.chmod(folder / hidden, 0)
    status, said = refused(folder, "--no-cache")
    os.chmod(folder / hidden, 0o700)
    assert status == 4 and str(folder) in said and "the user that Quern runs as must be able to read it" in said, said


def test_a_model_without_a_tokenizer(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(GEMMA, folder, ignore=shutil.ignore_patterns("tokenizer.json"))
    status, said = refused(folder, "--no-cache")
    assert status == 4 and f"({folder}) cannot be loaded: it can serve no text: the folder has no tokenizer.json" in said


def test_a_cache_directory_that_cannot_be_used(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir(mode=0)
    for path, said in ((tmp_path / "file", "is no directory; name another one in cache-dir"),
                       (tmp_path / "closed", "cannot be used: Permission denied; name another one in cache-dir"),
                       (tmp_path / "closed" / "new", "cannot be used: Permission denied; name another one in cache-dir")):
        for arguments, environment in (["--cache-dir", path], {}), ([], {"CACHE_DIRECTORY": str(path)}):
            status, line = refused(*arguments, environment=environment)
            assert status == 6 and said in line, line


def test_half_a_configuration(tmp_path):
    path = tmp_path / "quern.conf"
    whole = "[server]\nmax-body = 100\n[access]\ncors-origins = https://a.example\n"
    for length in (3, 12, 30, 38):
        path.write_text(whole[:length])
        status, said = refused("--config", path)
        assert status == 3 and f"{path}:" in said, (whole[:length], said)


def test_a_manager_that_is_not_there(tmp_path):
    status, said = refused(environment={"NOTIFY_SOCKET": str(tmp_path / "none")})
    assert status == 7 and "unset it where there is no service manager" in said


def test_two_daemons_on_one_cache(start_server, tmp_path):
    """Each has the folder, and what the other wrote there does not trouble it."""
    servers = [start_server("--cache-dir", tmp_path / "cache", model=GEMMA) for _ in range(2)]
    ask = {"prompt": [2, 5, 9], "max_tokens": 12, "temperature": 0, "ignore_eos": True}
    first, second = (server.complete(**ask)["choices"][0]["text"] for server in servers)
    assert first == second
    servers[0].stop()
    wait_until(lambda: servers[1].complete(**ask)["choices"][0]["text"] == first, "the other one")
