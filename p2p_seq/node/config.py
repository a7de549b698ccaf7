"""Reads a node's configuration: defaults < file < environment < flags, strictly.

Every wrong key or value of every layer is reported at once, with its path, its origin and the
nearest known name: a typo in a limit must not become a silent default. A key `section.name` is
`[section] name` in the file, `P2PSEQ_SECTION_NAME` in the environment and
`--set section.name=value` (or a flag of its own) on the command line. Texts from the environment
and from flags are read as the type of the key; lists are separated by commas.
"""

import difflib
import json
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

import p2p_seq
from p2p_seq.node.settings import SECRET_KEYS, Config
from p2p_seq.protocol.errors import OperatorError

ENVIRONMENT_PREFIX: Final = "P2PSEQ_"
FILE_BYTES_MAX: Final = 1 << 20
USAGE: Final = 2
"""Exit code of a configuration that cannot be used."""

HIDDEN: Final = "<hidden>"


@dataclass(frozen=True, slots=True)
class Key:
    """One declared setting."""

    section: str
    name: str
    kind: Any
    """Annotated type, with its bounds."""
    default: Any
    description: str

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"{ENVIRONMENT_PREFIX}{self.section}_{self.name}".upper()

    @property
    def is_list(self) -> bool:
        bare = self.kind
        while typing.get_origin(bare) is typing.Annotated:
            bare = typing.get_args(bare)[0]
        return typing.get_origin(bare) is list


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and where each of its values came from."""

    config: Config
    origins: Mapping[str, str]
    """Key path -> "default", "file …", "environment …" or "flag …"."""

    @property
    def home(self) -> Path:
        """The node's folder, absolute."""
        chosen = self.config.node.home
        if chosen:
            return Path(chosen).expanduser().absolute()
        return default_home(self.config.node.network)

    def in_home(self, path: str) -> Path:
        """`path` as it is when absolute, else below the home."""
        return self.home / Path(path).expanduser()


def default_home(network: str) -> Path:
    """`~/.p2pseq/<network>`; a network file counts by its name."""
    return Path.home() / ".p2pseq" / Path(network).stem


def declared_keys() -> dict[str, Key]:
    """All settings by path, in the order of their declaration."""
    found = {}
    for section in msgspec.structs.fields(Config):
        for setting in msgspec.structs.fields(section.type):
            default = setting.default
            if default is msgspec.NODEFAULT:
                default = setting.default_factory()
            key = Key(section.name, setting.name, setting.type, default, _described(setting.type))
            found[key.path] = key
    return found


def _described(kind: Any) -> str:
    """The outermost description of an annotated type: the one that was written at the key."""
    for annotation in reversed(getattr(kind, "__metadata__", ())):
        if annotation.description:
            return str(annotation.description)
    return ""


def load_config(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> LoadedConfig:
    """Layer the settings. `flags` maps key paths to texts or values; a missing `file` is an error.

    Raises OperatorError (exit code 2) that names every problem.
    """
    keys = declared_keys()
    values = {path: key.default for path, key in keys.items()}
    origins = dict.fromkeys(keys, "default")
    problems: list[str] = []
    for path, value, origin in _layers(keys, file, environment or {}, flags or {}, problems):
        try:
            values[path] = _converted(keys[path], value, is_text=not origin.startswith("file"))
            origins[path] = origin
        except ValueError as error:
            problems.append(f"{path} ({origin}): {error}")
    problems += _relations(values, origins)
    if problems:
        raise OperatorError(
            "the configuration is not valid",
            "; ".join(problems),
            "correct it; `p2pseq config show --origin` lists every key",
            code=USAGE,
        )
    return LoadedConfig(msgspec.convert(_nested(values), Config), origins)


def _layers(
    keys: Mapping[str, Key],
    file: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
    problems: list[str],
) -> Iterator[tuple[str, Any, str]]:
    """(path, raw value, origin) from the weakest layer to the strongest."""
    if file is not None:
        yield from _from_file(keys, file, problems)
    yield from _from_environment(keys, environment, problems)
    for path, value in flags.items():
        if path in keys:
            yield path, value, f"flag {path}"
        else:
            problems.append(_unknown(f"key {path!r} (flag)", path, keys))


def read_toml(file: Path) -> dict[str, Any]:
    """Parse a TOML file of bounded size. Raises OperatorError."""
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
        return tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OperatorError(
            f"cannot read the configuration file {file}",
            reason,
            "check the path and the syntax; `p2pseq init` writes a new one",
            code=USAGE,
        ) from error


def _from_file(
    keys: Mapping[str, Key], file: Path, problems: list[str]
) -> Iterator[tuple[str, Any, str]]:
    sections = {key.section: True for key in keys.values()}
    for section, table in read_toml(file).items():
        if section not in sections:
            problems.append(_unknown(f"section [{section}] in {file}", section, sections))
        elif not isinstance(table, dict):
            problems.append(f"[{section}] in {file} must be a section, not a value")
        else:
            for name, value in table.items():
                path = f"{section}.{name}"
                if path in keys:
                    yield path, value, f"file {file}"
                else:
                    problems.append(_unknown(f"key {path!r} in {file}", path, keys))


def _from_environment(
    keys: Mapping[str, Key], environment: Mapping[str, str], problems: list[str]
) -> Iterator[tuple[str, Any, str]]:
    by_variable = {key.variable: key for key in keys.values()}
    sections = {f"{ENVIRONMENT_PREFIX}{key.section}_".upper() for key in keys.values()}
    for variable, text in sorted(environment.items()):
        if variable in by_variable:
            yield by_variable[variable].path, text, f"environment {variable}"
        elif any(variable.startswith(section) for section in sections):
            problems.append(_unknown(f"environment variable {variable}", variable, by_variable))


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    suggestion = f", did you mean {near[0]!r}?" if near else ""
    return f"unknown {what}{suggestion}"


def _converted(key: Key, value: Any, *, is_text: bool) -> Any:
    """The value as the key's type. Raises ValueError with a sentence about what is wrong."""
    if is_text and isinstance(value, str) and key.is_list:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, key.kind, strict=not is_text)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace(" - at `$`", "")) from None


def _relations(values: Mapping[str, Any], origins: Mapping[str, str]) -> list[str]:
    """What must hold between settings."""
    problems = []
    if values["bitcoin.cookie_file"] and (values["bitcoin.user"] or values["bitcoin.password"]):
        problems.append("bitcoin.cookie_file excludes bitcoin.user and bitcoin.password")
    if bool(values["bitcoin.user"]) != bool(values["bitcoin.password"]):
        problems.append("bitcoin.user and bitcoin.password need each other")
    if origins["bitcoin.password"].startswith("flag"):
        problems.append(
            "bitcoin.password must not be given as a flag, where other users of the machine see it"
        )
    for path in ("api.listen", "metrics.listen"):
        if values[path]:
            try:
                parse_address(values[path])
            except ValueError as error:
                problems.append(f"{path} ({origins[path]}): {error}")
    return problems


def parse_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`. Raises ValueError when the port is not in 0..65535."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{text!r} is not host:port with a port up to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _nested(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    tree: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        section, name = path.split(".")
        tree.setdefault(section, {})[name] = value
    return tree


def shown_values(loaded: LoadedConfig) -> dict[str, Any]:
    """Every value by path, secrets hidden."""
    tree = msgspec.to_builtins(loaded.config)
    flat = {f"{section}.{name}": v for section, names in tree.items() for name, v in names.items()}
    for path in SECRET_KEYS:
        if flat[path]:
            flat[path] = HIDDEN
    return flat


def toml_value(value: str | float | list[str]) -> str:
    """One value in TOML's spelling; JSON's is the same for what settings hold."""
    return json.dumps(value, ensure_ascii=False)


def render_toml(chosen: Mapping[str, Any] | None = None) -> str:
    """A commented configuration file. A commented-out value is the default; `chosen` are set."""
    chosen = dict(chosen or {})
    lines = [
        "# Configuration of a p2p-seq node. A commented value is the default.",
        "# Each key is also an environment variable, P2PSEQ_<SECTION>_<KEY>, and a flag,",
        "# --set <section>.<key>=<value>; flags win over the environment, and that over this file.",
    ]
    section = ""
    documents = {part.name: part.type.__doc__ for part in msgspec.structs.fields(Config)}
    for path, key in declared_keys().items():
        if key.section != section:
            section = key.section
            lines += ["", f"# {documents[section]}", f"[{section}]"]
        if key.description:
            lines.append(f"# {key.description}")
        if path in chosen:
            lines.append(f"{key.name} = {toml_value(chosen.pop(path))}")
        else:
            lines.append(f"# {key.name} = {toml_value(key.default)}")
    if chosen:
        raise ValueError(f"not settings: {sorted(chosen)}")
    return "\n".join(lines) + "\n"


def configs_folder() -> Path:
    """The presets that ship with the source. Raises OperatorError when they are not there."""
    folder = Path(p2p_seq.__file__).resolve().parent.parent / "configs"
    if not folder.is_dir():
        raise OperatorError(
            "the folder configs/ is missing",
            f"it should be at {folder}",
            "install from a clone of the repository",
            code=USAGE,
        )
    return folder


def network_file(network: str) -> Path:
    """The file of a preset name, or the path itself. Raises OperatorError for an unknown name."""
    if "/" in network or network.endswith(".toml"):
        return Path(network).expanduser()
    folder = configs_folder() / "networks"
    file = folder / f"{network}.toml"
    if not file.is_file():
        known = {path.stem: path for path in sorted(folder.glob("*.toml"))}
        raise OperatorError(
            _unknown(f"network {network!r}", network, known),
            f"known: {', '.join(known)}",
            "choose one of them or name a network file",
            code=USAGE,
        )
    return file
