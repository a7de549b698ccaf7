"""The house rules that a machine can check (CONTRIBUTING.md), over every file of the repository.

Each rule is a function from a file's path and text to its problems; each is also shown a text that
breaks it, so that no rule is a rule that cannot fail.
"""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 800
LINE_CHARACTERS_MAX = 100

PYTHON = {".py", ".pyi"}
CYTHON = {".pyx", ".pxd"}
C_LANGUAGE = {".c", ".h", ".inc"}
SHELL = {".sh", ""}  # ./dev and .ci/run have no suffix
CODE = PYTHON | CYTHON | C_LANGUAGE | SHELL
TEXT = CODE | {".toml", ".md", ".yml", ".json", ".service", ".txt"}

Rule = Callable[[Path, str], Iterator[str]]


def repository_files() -> list[Path]:
    """Tracked files and new ones that are not ignored; relative to the root, sorted."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git clone")
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return sorted({Path(name) for name in listing if name and (ROOT / name).is_file()})


def long_lines(path: Path, text: str) -> Iterator[str]:
    if path.suffix in CODE | {".toml", ".service", ".txt"}:
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > LINE_CHARACTERS_MAX:
                yield f"{path}:{number}: {len(line)} characters"


def long_modules(path: Path, text: str) -> Iterator[str]:
    lines = text.count("\n")
    if path.suffix in CODE and lines > MODULE_LINES_MAX:
        yield f"{path}: {lines} lines"


def long_python_functions(path: Path, text: str) -> Iterator[str]:
    if path.suffix not in PYTHON:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines"


CYTHON_FUNCTION = re.compile(r"^(\s*)(?:def|cdef|cpdef)\b[^=]*\(")


def long_cython_functions(path: Path, text: str) -> Iterator[str]:
    """By indentation: a function ends before the next line that is not deeper than its head."""
    if path.suffix != ".pyx":
        return
    lines = text.splitlines()
    for start, line in enumerate(lines):
        head = CYTHON_FUNCTION.match(line)
        if not head:
            continue
        last = start
        for number in range(start + 1, len(lines)):
            inner = lines[number]
            depth = len(inner) - len(inner.lstrip())
            if inner.strip() and depth <= len(head[1]) and not inner.lstrip().startswith(")"):
                break
            if inner.strip():
                last = number
        if last - start + 1 > FUNCTION_LINES_MAX:
            yield f"{path}:{start + 1}: a function of {last - start + 1} lines"


def long_c_functions(path: Path, text: str) -> Iterator[str]:
    """A function's body opens at the end of a line or on its own, and closes in column 0."""
    if path.suffix not in {".c", ".h"}:
        return
    start = None
    for number, line in enumerate(text.splitlines(), 1):
        opens = re.match(r"^[A-Za-z_][^;=]*\)\s*\{\s*$", line) or re.match(r"^\{\s*$", line)
        if opens and start is None:
            start = number
        elif line.startswith("}") and start is not None:
            if number - start + 1 > FUNCTION_LINES_MAX:
                yield f"{path}:{start}: a function of {number - start + 1} lines"
            start = None


UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")


def notes_without_issue(path: Path, text: str) -> Iterator[str]:
    if path.suffix in TEXT:
        for number, line in enumerate(text.splitlines(), 1):
            note = UNFINISHED.search(line)
            if note:
                yield f"{path}:{number}: {note[1]} without an issue: write {note[1]}(#12)"


BANNER = re.compile(r"^\s*(?:#|//|/\*)\s*(?:[-=*#~_]{6,}|[-=*#~_]{3,}[^-=*#~_].*[-=*#~_]{3,})")


def banners(path: Path, text: str) -> Iterator[str]:
    if path.suffix in CODE | {".toml", ".yml"}:
        for number, line in enumerate(text.splitlines(), 1):
            if BANNER.match(line):
                yield f"{path}:{number}: a banner: make it a module, or leave it out"


FORBIDDEN = {
    "a host of a package registry": re.compile(
        r"\b(pypi|pythonhosted|crates|npmjs|maven)\.(org|io|com)\b|\bdebian\.org/debian"
    ),
    "a path of somebody's machine": re.compile(r"(?<![\w.~-])/(root|work|home|Users)/[\w.-]+"),
    "an excuse": re.compile(r"\b(for now|simplified for|temporary hack)\b", re.I),
    "a mock": re.compile(r"\b(unittest\.mock|MagicMock)\b"),
}


def forbidden_words(path: Path, text: str) -> Iterator[str]:
    if path.suffix in TEXT:
        for number, line in enumerate(text.splitlines(), 1):
            for what, pattern in FORBIDDEN.items():
                found = pattern.search(line)
                if found:
                    yield f"{path}:{number}: {what}: {found[0]!r}"


def missing_docstrings(path: Path, text: str) -> Iterator[str]:
    """Every module says what it is for; of the tests only the packages and helpers need to."""
    is_ours = path.parts[0] in {"p2p_seq", "cython_core", "testnet"}
    if is_ours and path.suffix == ".py" and not ast.get_docstring(ast.parse(text)):
        yield f"{path}: no module docstring"
    if is_ours and path.suffix == ".pyx" and not text.lstrip("# \n").startswith(('"""', 'r"""')):
        first = next((s for s in text.splitlines() if s and not s.startswith("#")), "")
        if not first.startswith('"""'):
            yield f"{path}: no module docstring"


GENERATED_SUFFIXES = {".so", ".o", ".a", ".pyc", ".pyd", ".egg-info"}


def generated_files(path: Path, text: str) -> Iterator[str]:
    if path.suffix in GENERATED_SUFFIXES or "Generated by Cython" in text[:200]:
        yield f"{path}: generated, must not be in the repository"


THIS_FILE = Path("tests/test_tidy.py")
"""Names the words that no other file may have."""

RULES: list[tuple[Rule, str, str]] = [
    (long_lines, "x.py", "# " + "x" * 99),
    (long_modules, "x.pyx", "\n" * 801),
    (long_python_functions, "x.py", "def f():\n" + "    1\n" * 70),
    (long_cython_functions, "x.pyx", "cdef int f() noexcept:\n" + "    g()\n" * 70),
    (long_c_functions, "x.c", "int f(void) {\n" + "    g();\n" * 69 + "}\n"),
    (notes_without_issue, "x.c", "// TODO: later"),
    (banners, "x.py", "# " + "-" * 40),
    (banners, "x.c", "/* " + "=" * 4 + " part two " + "=" * 4 + " */"),
    (forbidden_words, "x.md", ".".join(("see https://pypi", "org/x"))),
    (forbidden_words, "x.py", "open('/root/x')"),
    (forbidden_words, "x.c", "/* good enough for now */"),
    (forbidden_words, "x.py", "from unittest.mock import Mock"),
    (missing_docstrings, "p2p_seq/x.py", "import trio\n"),
    (missing_docstrings, "cython_core/x/_x.pyx", "# cython: language_level=3\ncimport cython\n"),
    (generated_files, "x.so", ""),
    (generated_files, "x.c", "/* Generated by Cython 3.3.1 */"),
]


@pytest.mark.parametrize(
    ("rule", "name", "text"), RULES, ids=[f"{rule.__name__}-{name}" for rule, name, _ in RULES]
)
def test_rule_sees_what_breaks_it(rule: Rule, name: str, text: str) -> None:
    assert list(rule(Path(name), text)), "the rule overlooks its own example"


@pytest.mark.parametrize(
    "rule", dict.fromkeys(rule for rule, _, _ in RULES), ids=lambda r: r.__name__
)
def test_repository_follows_rule(rule: Rule) -> None:
    problems = []
    for path in repository_files():
        content = (ROOT / path).read_bytes()
        text = "" if b"\0" in content[:1024] else content.decode("utf-8")
        if path != THIS_FILE or rule not in {notes_without_issue, forbidden_words}:
            problems += rule(path, text)
    assert not problems, "\n" + "\n".join(problems)


SHELL_NAME = "service"
CONSENSUS_SHELL = {"p2p_seq.consensus.bodies", "p2p_seq.consensus.intake"}
"""The shell of consensus has these modules besides."""


def is_shell(module: str) -> bool:
    """Of a module, or of a name in one."""
    owner = module.rpartition(".")[0]
    return SHELL_NAME in module.split(".") or bool({module, owner} & CONSENSUS_SHELL)


def imported_names(text: str) -> Iterator[str]:
    """Dotted names of everything that a module imports, `from a import b` as `a.b`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def pure_rooms() -> set[str]:
    """The whole rooms of the purity contract in pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (purity,) = [contract for contract in contracts if contract["name"].startswith("Pure rooms")]
    return {name.split(".")[1] for name in purity["source_modules"] if name.count(".") == 1}


def test_no_pure_module_imports_a_shell() -> None:
    """The purity contract overlooks what shells import; this closes the gap."""
    problems = []
    for path in repository_files():
        is_pure_room = path.parts[0] == "p2p_seq" and path.parts[1] in pure_rooms()
        module = ".".join(path.with_suffix("").parts)
        if path.suffix == ".py" and is_pure_room and not is_shell(module):
            problems += [
                f"{path} imports {name}"
                for name in imported_names((ROOT / path).read_text(encoding="utf-8"))
                if name.startswith("p2p_seq.") and is_shell(name)
            ]
    assert not problems, "\n" + "\n".join(problems)


def test_only_the_signer_touches_secret_keys() -> None:
    problems = [
        str(path)
        for path in repository_files()
        if path.parts[0] == "p2p_seq" and path.suffix == ".py" and path.parts[1] != "signer"
        if "coincurve.PrivateKey" in imported_names((ROOT / path).read_text(encoding="utf-8"))
    ]
    assert not problems, f"coincurve.PrivateKey is imported in {problems}"


def test_imports_are_seen_in_all_their_forms() -> None:
    text = "import a.b\nfrom c.d import e as f\ndef g():\n    from h import i\n"
    assert list(imported_names(text)) == ["a.b", "c.d", "c.d.e", "h", "h.i"]


def test_every_folder_with_modules_is_a_package() -> None:
    sources = [p for p in repository_files() if p.parts[0] in {"p2p_seq", "cython_core"}]
    folders = {p.parent for p in sources if p.suffix in {".py", ".pyx"}}
    bare = sorted(
        str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()
    )
    assert not bare, f"no __init__.py in {bare}"


def test_dependencies_are_pinned_as_they_are_locked() -> None:
    """pyproject.toml names exact versions, and the lock file has the same ones, with hashes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = {
        name.lower().replace("_", "-"): v for name, v in re.findall(r"^(\S+)==(\S+)", locked, re.M)
    }
    for requirement in wanted:
        name, _, version = requirement.partition("==")
        assert pins.get(name.lower().replace("_", "-")) == version, f"{requirement}: run ./dev lock"
    entries = re.split(r"^(?=\S)", locked, flags=re.M)[1:]
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)
