"""Configuration: layers, strictness, and that the shipped files are what the declarations say."""

import tomllib
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.consensus.timers import TimerConfig
from p2p_seq.node.config import (
    FILE_BYTES_MAX,
    HIDDEN,
    configs_folder,
    declared_keys,
    load_config,
    network_file,
    parse_address,
    render_toml,
    shown_values,
)
from p2p_seq.node.settings import Config, ConsensusSection
from p2p_seq.protocol.errors import OperatorError
from p2p_seq.protocol.params import load_params

ADVICE = "correct it; `p2pseq config show --origin` lists every key"


def refusal(**layers: object) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        load_config(**layers)  # type: ignore[arg-type]
    return caught.value


def written(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_later_layers_win_and_are_named(tmp_path: Path) -> None:
    file = written(tmp_path, '[log]\nlevel = "debug"\n[mempool]\nbytes_max = 1\naccount_max = 2\n')
    environment = {"P2PSEQ_MEMPOOL_BYTES_MAX": "3", "P2PSEQ_MEMPOOL_ACCOUNT_MAX": "4", "HOME": "x"}
    loaded = load_config(file, environment, {"mempool.account_max": "5"})
    assert loaded.config.log.level == "debug"
    assert loaded.config.mempool.bytes_max == 3
    assert loaded.config.mempool.account_max == 5
    assert loaded.config.mempool.transactions_max == Config().mempool.transactions_max
    assert {path: o for path, o in loaded.origins.items() if o != "default"} == {
        "log.level": f"file {file}",
        "mempool.bytes_max": "environment P2PSEQ_MEMPOOL_BYTES_MAX",
        "mempool.account_max": "flag mempool.account_max",
    }


def test_lists_and_numbers_are_read_from_texts() -> None:
    environment = {"P2PSEQ_NETWORK_BOOTSTRAP": "/ip4/10.0.0.1/tcp/1, /dns4/seq.example/tcp/2"}
    config = load_config(None, environment, {"consensus.leader_ms": "1200"}).config
    assert config.network.bootstrap == ["/ip4/10.0.0.1/tcp/1", "/dns4/seq.example/tcp/2"]
    assert config.consensus.leader_ms == 1200


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "[netwrok]\nlisten = 1\n",
            "unknown section [netwrok] in {file}, did you mean 'network'?",
        ),
        (
            '[network]\nlisten_prot = ""\n',
            "unknown key 'network.listen_prot' in {file}, did you mean 'network.listen'?",
        ),
        ("mempool = 3\n", "[mempool] in {file} must be a section, not a value"),
        (
            '[mempool]\nbytes_max = "many"\n',
            "mempool.bytes_max (file {file}): Expected `int`, got `str`",
        ),
        ("[mempool]\nbytes_max = 0\n", "mempool.bytes_max (file {file}): Expected `int` >= 1"),
        (
            "[mempool]\nbytes_max = 1.0\n",
            "mempool.bytes_max (file {file}): Expected `int`, got `float`",
        ),
        (
            "[mempool]\nbytes_max = true\n",
            "mempool.bytes_max (file {file}): Expected `int`, got `bool`",
        ),
        (
            '[node]\nrole = "sequenzer"\n',
            "node.role (file {file}): Expected `str` matching regex '^(sequencer|full)$'",
        ),
        (
            '[api]\nlisten = "127.0.0.1:70000"\n',
            "api.listen (file {file}): '127.0.0.1:70000' is not host:port with a port up to 65535",
        ),
        (
            '[bitcoin]\ncookie_file = "c"\nuser = "u"\npassword = "p"\n',
            "bitcoin.cookie_file excludes bitcoin.user and bitcoin.password",
        ),
        ('[bitcoin]\nuser = "u"\n', "bitcoin.user and bitcoin.password need each other"),
    ],
)
def test_wrong_files_are_refused_with_the_path(tmp_path: Path, text: str, why: str) -> None:
    file = written(tmp_path, text)
    error = refusal(file=file)
    assert (error.what, error.do, error.code) == ("the configuration is not valid", ADVICE, 2)
    assert error.why == why.format(file=file)


def test_all_problems_are_named_at_once() -> None:
    error = refusal(
        environment={"P2PSEQ_MEMPOOL_BYTS_MAX": "7"},
        flags={"consensus.leader_ms": "soon", "lgo.level": "x"},
    )
    assert error.why == (
        "unknown environment variable P2PSEQ_MEMPOOL_BYTS_MAX, "
        "did you mean 'P2PSEQ_MEMPOOL_BYTES_MAX'?; "
        "consensus.leader_ms (flag consensus.leader_ms): Expected `int`, got `str`; "
        "unknown key 'lgo.level' (flag), did you mean 'log.level'?"
    )


def test_password_as_a_flag_is_refused_and_never_repeated() -> None:
    error = refusal(flags={"bitcoin.user": "u", "bitcoin.password": "hunter2hunter2"})
    assert error.why == (
        "bitcoin.password must not be given as a flag, where other users of the machine see it"
    )
    assert "hunter2" not in str(error)


def test_url_with_a_password_is_refused_and_never_repeated() -> None:
    error = refusal(environment={"P2PSEQ_BITCOIN_RPC_URL": "http://user:hunter2@127.0.0.1:8332"})
    assert error.why.startswith("bitcoin.rpc_url (environment P2PSEQ_BITCOIN_RPC_URL): Expected")
    assert "hunter2" not in str(error)


def test_secrets_are_not_shown() -> None:
    environment = {"P2PSEQ_BITCOIN_USER": "u", "P2PSEQ_BITCOIN_PASSWORD": "hunter2"}
    shown = shown_values(load_config(None, environment))
    assert (shown["bitcoin.user"], shown["bitcoin.password"]) == ("u", HIDDEN)
    assert shown_values(load_config())["bitcoin.password"] == ""


def test_broken_and_missing_and_oversized_files(tmp_path: Path) -> None:
    assert refusal(file=tmp_path / "none.toml").why == "No such file or directory"
    assert refusal(file=tmp_path).why == "Is a directory"
    broken = written(tmp_path, "[node\n")
    assert refusal(file=broken).what == f"cannot read the configuration file {broken}"
    broken.write_bytes(b"#\xff\n")
    assert "utf-8" in refusal(file=broken).why
    broken.write_bytes(b"#" * FILE_BYTES_MAX)
    assert load_config(broken).config == Config()
    broken.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    assert refusal(file=broken).why == f"it is larger than {FILE_BYTES_MAX} bytes"


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4))
def test_any_flags_give_a_config_or_an_operator_error(flags: dict[str, str]) -> None:
    try:
        loaded = load_config(None, {}, flags)
    except OperatorError as error:
        assert error.code == 2
    else:
        assert not flags or set(flags) <= set(loaded.origins)


@given(st.sampled_from(sorted(declared_keys())), st.text(max_size=40))
def test_any_text_for_any_key_gives_a_config_or_an_operator_error(path: str, text: str) -> None:
    try:
        loaded = load_config(None, {}, {path: text})
    except OperatorError as error:
        assert error.code == 2
    else:
        section, name = path.split(".")
        assert getattr(getattr(loaded.config, section), name) is not None


def test_home_is_below_the_users_or_as_said(tmp_path: Path) -> None:
    assert load_config(None, {}, {"node.network": "signet"}).home == Path.home() / ".p2pseq/signet"
    loaded = load_config(None, {}, {"node.home": str(tmp_path)})
    assert loaded.home == tmp_path
    assert loaded.in_home("x/y") == tmp_path / "x/y"
    assert loaded.in_home("/x/y") == Path("/x/y")


@pytest.mark.parametrize(
    ("text", "address"),
    [("localhost:1", ("localhost", 1)), ("[::1]:65535", ("::1", 65535)), ("a:0", ("a", 0))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", ":1", "a", "a:", "a:-1", "a:65536", "a:1x"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert str(caught.value) == f"{text!r} is not host:port with a port up to 65535"


def test_default_file_is_generated_from_the_declarations() -> None:
    shipped = (configs_folder() / "default.toml").read_text(encoding="utf-8")
    assert shipped == render_toml()
    assert load_config(configs_folder() / "default.toml").config == Config()


def test_every_commented_default_is_the_default(tmp_path: Path) -> None:
    """Uncommenting every value changes nothing but the origin."""
    lines = render_toml().splitlines()
    keys = {key.name for key in declared_keys().values()}
    set_lines = [
        line[2:] if line.startswith("# ") and line[2:].split(" = ")[0] in keys else line
        for line in lines
    ]
    loaded = load_config(written(tmp_path, "\n".join(set_lines)))
    assert loaded.config == Config()
    assert all(origin.startswith("file") for origin in loaded.origins.values())


def test_rendered_choices_come_back(tmp_path: Path) -> None:
    chosen = {
        "node.role": "sequencer",
        "network.bootstrap": ["/ip4/1.2.3.4/tcp/5"],
        "log.level": "a=debug",
    }
    loaded = load_config(written(tmp_path, render_toml(chosen)))
    assert {path: v for path, v in shown_values(loaded).items() if path in chosen} == chosen
    with pytest.raises(ValueError) as caught:
        render_toml({"node.rolle": "x"})
    assert str(caught.value) == "not settings: ['node.rolle']"


def test_every_key_has_a_description() -> None:
    assert [path for path, key in declared_keys().items() if not key.description] == []


@pytest.mark.parametrize("role", ["sequencer", "full"])
def test_role_files_are_valid(role: str) -> None:
    assert load_config(configs_folder() / "roles" / f"{role}.toml").config.node.role == role


def test_network_files_are_valid_and_found_by_name() -> None:
    names = sorted(path.stem for path in (configs_folder() / "networks").glob("*.toml"))
    assert names == ["mainnet", "ordering", "regtest", "signet"]
    for name in names:
        assert load_params(network_file(name)).network == name
    with pytest.raises(OperatorError) as caught:
        network_file("regest")
    assert caught.value.what == "unknown network 'regest', did you mean 'regtest'?"


def test_ordering_preset_differs_from_regtest_in_the_cycle_limit_alone() -> None:
    def table(name: str) -> dict[str, object]:
        return tomllib.loads(network_file(name).read_text(encoding="utf-8"))

    expected = {**table("regtest"), "network": "ordering", "epoch_cycle_limit": 2**32}
    assert table("ordering") == expected


def test_consensus_section_is_the_timers() -> None:
    """The settings are handed to `TimerConfig` by name, so both must have the same defaults."""
    assert TimerConfig(**msgspec.structs.asdict(ConsensusSection())) == TimerConfig()
    assert [f.name for f in fields(TimerConfig)] == list(ConsensusSection.__struct_fields__)
