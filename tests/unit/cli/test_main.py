"""The command line: exit codes, three-line errors, JSON, and files that init makes."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from p2p_seq import __version__
from p2p_seq.cli.common import Exit, Options, load
from p2p_seq.cli.main import COMMANDS, run
from p2p_seq.cli.password import find_password, normalised
from p2p_seq.cli.status import ANSWER_BYTES_MAX
from p2p_seq.node.config import load_config
from p2p_seq.protocol.errors import OperatorError

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def answered(capsys: Captured, *arguments: str) -> Any:
    assert run(arguments) == Exit.OK
    return json.loads(capsys.readouterr().out)


def test_help_names_every_command_and_imports_none(capsys: Captured) -> None:
    assert run(["--help"]) == Exit.OK
    listing = capsys.readouterr().out
    assert all(name in listing for name in COMMANDS)
    heavy = (
        "import sys, p2p_seq.cli.main as m; m.run(['--help']); print(sorted(set(sys.modules) & {"
    )
    heavy += "'httpx', 'libp2p', 'lmdb', 'coincurve', 'msgspec', 'structlog', 'fastapi'}))"
    outcome = subprocess.run(
        [sys.executable, "-c", heavy], capture_output=True, text=True, check=True
    )
    assert outcome.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_imported_and_explains_itself(capsys: Captured, name: str) -> None:
    assert run([name, "--help"]) == Exit.OK
    assert f"p2pseq {name}" in capsys.readouterr().out


def test_version(capsys: Captured) -> None:
    assert answered(capsys, "version", "--json")["p2pseq"] == __version__


@pytest.mark.parametrize(
    "arguments", [["statu"], ["status", "--hom", "x"], ["init", "--role", "king"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert run(arguments) == Exit.USAGE


def test_init_makes_a_home_that_check_accepts(home: Path, capsys: Captured) -> None:
    made = answered(capsys, "init", "--home", str(home), "--role", "sequencer", "--json")
    assert made["config"] == str(home / "config.toml")
    assert json.loads(Path(made["keystore"]).read_text())["operator"] == made["operator"]
    assert (home.stat().st_mode & 0o777, Path(made["keystore"]).stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )
    config = load_config(home / "config.toml").config
    assert (config.node.role, config.node.network) == ("sequencer", "regtest")
    assert config.metrics.listen == "127.0.0.1:9560", "the role's settings are in the file"
    checked = answered(capsys, "config", "check", "--home", str(home), "--json")
    assert checked == {"valid": True, "home": str(home), "network": "regtest"}


def test_init_keeps_what_the_flags_said(home: Path, capsys: Captured) -> None:
    answered(
        capsys, "init", "--home", str(home), "--set", "api.listen=127.0.0.1:1", "--json",
        "--set", "log.level=debug",
    )  # fmt: skip
    config = load_config(home / "config.toml").config
    assert (config.api.listen, config.log.level) == ("127.0.0.1:1", "debug")


@pytest.mark.parametrize("kept", ["config.toml", "keystore.json"])
def test_init_never_overwrites(home: Path, capsys: Captured, kept: str) -> None:
    home.mkdir()
    (home / kept).write_text("mine")
    assert run(["init", "--home", str(home)]) == Exit.USAGE
    assert capsys.readouterr().err.splitlines() == [
        f"error: {home / kept} exists",
        "  why: init never overwrites a configuration or keys",
        "   do: choose another --home, or move the file away yourself",
    ]
    assert [path.name for path in home.iterdir()] == [kept]
    assert (home / kept).read_text() == "mine"


def test_init_on_a_chain_with_real_coins_needs_a_password(home: Path, tmp_path: Path) -> None:
    arguments = ["init", "--home", str(home), "--network", "signet"]
    assert run(arguments) == Exit.USAGE
    assert not home.exists()
    password_file = tmp_path / "password"
    password_file.write_text("correct horse\n")
    assert run([*arguments, "--set", f"node.password_file={password_file}"]) == Exit.OK
    assert "seed" not in (home / "keystore.json").read_text()


def test_password_sources(tmp_path: Path) -> None:
    assert find_password("", {}) is None
    (tmp_path / "p2pseq-password").write_text("from systemd\n")
    assert find_password("", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "from systemd"
    own = tmp_path / "own"
    own.write_text("A\u030angstro\u0308m\u0007\n")
    assert find_password(str(own), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == normalised(
        "Ångström"
    )
    own.write_text("x" * 7)
    with pytest.raises(OperatorError) as caught:
        find_password(str(own), {})
    assert str(caught.value) == (
        f"the password in {own} is too short: it has fewer than 8 characters (choose a longer one)"
    )
    own.write_text("x" * 1025)
    with pytest.raises(OperatorError) as caught:
        find_password(str(own), {})
    assert caught.value.why == "it is longer than 1024 bytes"


def test_config_show_tells_origins(home: Path, capsys: Captured) -> None:
    answered(capsys, "init", "--home", str(home), "--json")
    shown = answered(
        capsys,
        "config",
        "show",
        "--origin",
        "--json",
        "--home",
        str(home),
        "--set",
        "log.level=error",
    )
    assert shown["log.level"] == {"value": "error", "origin": "flag log.level"}
    assert shown["node.role"] == {"value": "full", "origin": f"file {home / 'config.toml'}"}
    assert shown["api.requests_max"]["origin"] == "default"
    assert run(["config", "show", "--home", str(home)]) == Exit.OK
    assert '[log]\nlevel = "info"\nformat = "auto"\n' in capsys.readouterr().out


def test_config_file_alone_leads_to_its_home(home: Path, capsys: Captured) -> None:
    answered(capsys, "init", "--home", str(home), "--json")
    assert load(Options(config=home / "config.toml"), {}).home == home


def test_errors_in_json_mode_are_json(home: Path, capsys: Captured) -> None:
    assert (
        run(["config", "check", "--home", str(home), "--set", "nonsense", "--json"]) == Exit.USAGE
    )
    assert json.loads(capsys.readouterr().out) == {
        "error": {
            "what": "--set 'nonsense' sets nothing",
            "why": "it has no '='",
            "do": "write --set section.key=value",
            "code": 2,
        }
    }


class StatusServer(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, Any]] = {}

    def do_GET(self) -> None:
        body = self.answers["body"]
        self.send_response(self.answers.get("code", 200))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        return


@pytest.fixture
def api() -> Iterator[tuple[str, dict[str, Any]]]:
    StatusServer.answers = {}
    server = HTTPServer(("127.0.0.1", 0), StatusServer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"api.listen=127.0.0.1:{server.server_port}", StatusServer.answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_status_renders_what_the_node_says(
    api: tuple[str, dict[str, Any]], home: Path, capsys: Captured
) -> None:
    setting, answers = api
    state = {
        "role": "sequencer",
        "synced": True,
        "vault_sats": 150_000_000,
        "peers": [{"peer": "[red]x[/]", "member": True}],
        "bitcoin": {"height": 7, "tip": None},
    }
    answers["body"] = json.dumps(state).encode()
    assert answered(capsys, "status", "--json", "--home", str(home), "--set", setting) == state
    assert run(["status", "--home", str(home), "--set", setting]) == Exit.OK
    screen = capsys.readouterr().out
    for shown in ("1.50000000 BTC", "synced", "yes", "[red]x[/]", "height", "7"):
        assert shown in screen


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"body": b"no", "code": 500}, "it answers with HTTP status 500"),
        ({"body": b"{"}, "the answer is not JSON"),
        ({"body": b"[]"}, "the answer is not a JSON object"),
        ({"body": b" " * (ANSWER_BYTES_MAX + 1)}, f"the answer is over {ANSWER_BYTES_MAX} bytes"),
    ],
)
def test_status_of_something_else_is_exit_code_4(
    api: tuple[str, dict[str, Any]], home: Path, capsys: Captured, answer: dict[str, Any], why: str
) -> None:
    setting, answers = api
    answers.update(answer)
    assert run(["status", "--home", str(home), "--set", setting]) == Exit.UNREACHABLE
    assert capsys.readouterr().err.splitlines()[1] == f"  why: {why}"


def test_status_of_nobody_is_exit_code_4(home: Path, capsys: Captured) -> None:
    assert (
        run(["status", "--home", str(home), "--set", "api.listen=127.0.0.1:9"]) == Exit.UNREACHABLE
    )
    assert run(["status", "--home", str(home), "--set", "api.listen="]) == Exit.USAGE
    assert "the node has no API to ask" in capsys.readouterr().err
