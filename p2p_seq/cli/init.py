"""`p2pseq init`: a new home with a configuration and keys. The only command that makes keys."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from p2p_seq.cli.common import CONFIG_NAME, Exit, Options, answer_json, chatter
from p2p_seq.protocol.errors import OperatorError

if TYPE_CHECKING:
    from p2p_seq.protocol.params import Params

DEFAULTS = Options()


def init(
    *,
    role: Annotated[
        Literal["sequencer", "full"], Parameter(help="What the node is to be.")
    ] = "full",
    options: Options = DEFAULTS,
) -> None:
    """Make a home: configuration and keystore. What exists is never overwritten."""
    from p2p_seq.node.config import load_config, network_file
    from p2p_seq.protocol.params import load_params

    settings = role_settings(role)
    chosen = {**settings, **options.flags(), "node.role": role}
    loaded = load_config(options.config, os.environ, chosen)
    params = load_params(network_file(loaded.config.node.network))
    config_file = options.config or loaded.home / CONFIG_NAME
    keystore_file = loaded.in_home(loaded.config.node.keystore_file)
    for file in (config_file, keystore_file):
        if options.config != file and file.exists():
            raise OperatorError(
                f"{file} exists",
                "init never overwrites a configuration or keys",
                "choose another --home, or move the file away yourself",
                code=Exit.USAGE,
            )
    password = _password(loaded, bitcoin_chain=params.bitcoin_chain)
    _make_home(loaded.home)
    operator = _make_keystore(keystore_file, params, password)
    if options.config is None:
        _write_new(config_file, _config_text(loaded))
    _report(options, loaded, config_file, keystore_file, operator)


def role_settings(role: str) -> dict[str, Any]:
    """The settings of `configs/roles/<role>.toml` by key path."""
    from p2p_seq.node.config import configs_folder, read_toml

    overlay = read_toml(configs_folder() / "roles" / f"{role}.toml")
    return {
        f"{section}.{name}": v for section, table in overlay.items() for name, v in table.items()
    }


def _password(loaded: Any, *, bitcoin_chain: str) -> str | None:
    """The new keystore's password; none is needed on regtest, where coins are worth nothing."""
    from p2p_seq.cli.password import ask_password, find_password

    password = find_password(loaded.config.node.password_file)
    if password is None and bitcoin_chain != "regtest":
        password = ask_password(is_new=True)
    return password


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"cannot make the folder {home}",
            error.strerror or str(error),
            "choose another --home",
            code=Exit.USAGE,
        ) from error


def _make_keystore(file: Path, params: "Params", password: str | None) -> str:
    from p2p_seq.signer.keystore import create_keystore

    return create_keystore(file, params.network, password, params.bitcoin_chain).operator.hex()


def _config_text(loaded: Any) -> str:
    """The configuration file: what differs from the defaults is set, the home is implied."""
    from p2p_seq.node.config import declared_keys, render_toml
    from p2p_seq.node.settings import SECRET_KEYS

    chosen = {}
    for path, key in declared_keys().items():
        value = getattr(getattr(loaded.config, key.section), key.name)
        if value != key.default and path != "node.home" and path not in SECRET_KEYS:
            chosen[path] = value
    chosen["node.role"] = loaded.config.node.role
    chosen["node.network"] = loaded.config.node.network
    return render_toml(chosen)


def _write_new(file: Path, text: str) -> None:
    """Write a file that must not exist; synced, readable by the owner alone."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _report(
    options: Options, loaded: Any, config_file: Path, keystore_file: Path, operator: str
) -> None:
    if options.json:
        answer_json(
            {
                "home": str(loaded.home),
                "config": str(config_file),
                "keystore": str(keystore_file),
                "operator": operator,
                "role": loaded.config.node.role,
                "network": loaded.config.node.network,
            }
        )
        return
    print(f"home      {loaded.home}")
    print(f"config    {config_file}")
    print(f"keystore  {keystore_file}")
    print(f"operator  {operator}")
    chatter("Back up the keystore: it alone holds the keys of stake, votes and wallet.")
