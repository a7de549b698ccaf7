"""Builds the Cython extensions; everything else about the package is declared in pyproject.toml.

Each `cython_core/<room>/_<name>.pyx` becomes the module `cython_core.<room>._<name>`. The C files
that a room's extensions are linked with stand in `cython_core/<room>/sources.txt`: one path from
the repository root per line, for every extension of the room, or only for `_<name>` when the line
reads `_<name>: path`. `#` starts a comment. The C that Cython writes goes to build/cython, so that
it never stands next to sources.

Tables of constraints are compiled too: `cython_core.chips.shipped_systems` lists the systems, the
C for their tables goes to build/generated and is linked into `cython_core.air._generated`; so is
the C that fills the tables of the machine's chips, into `cython_core.zkvm._fill`. All of it runs in
plain Python before any extension is built.
"""

import copy
import importlib
import os
import sys
from pathlib import Path

import Cython
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
CORE = "cython_core"
CYTHON_VERSION = "3.3.1"
WITHOUT_EXTENSIONS = "P2PSEQ_WITHOUT_EXTENSIONS"
"""Environment variable: install the metadata only; ./dev builds the extensions in place itself."""
COMPILE_ARGS = ["-O3", "-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden"]
CYTHON_ARGS = ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]
"""What Cython itself writes would warn about; hand-written C is checked by its own tests."""
GENERATED = "build/generated"
GENERATED_MODULE = "cython_core.air._generated"
FILL_GENERATED = "build/generated-fill"
FILL_MODULE = "cython_core.zkvm._fill"
GENERATED_ARGS = ["-O1"]
"""Straight-line code of vector intrinsics: more takes twice as long to compile and gains little."""


class BuildExtensions(build_ext):
    """Gives each extension its own object folder: two rooms may share a C file, built at once."""

    def build_extension(self, ext: Extension) -> None:
        if ext.name == GENERATED_MODULE:
            add_generated_sources(ext)
        elif ext.name == FILL_MODULE:
            add_fill_sources(ext)
        private = copy.copy(self)
        private.build_temp = str(Path(self.build_temp) / ext.name)
        build_ext.build_extension(private, ext)

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1


def listed_sources(room: Path, name: str) -> list[str]:
    """C files of extension `name` of `room`. Exits when a listed path is not there."""
    listing = room / "sources.txt"
    if not listing.exists():
        return []
    sources = []
    for line in listing.read_text(encoding="utf-8").splitlines():
        entry = line.split("#", 1)[0].strip()
        owner, colon, path = entry.rpartition(":")
        if not entry or (colon and owner.strip() != name):
            continue
        source = path.strip()
        if not (ROOT / source).is_file():
            sys.exit(f"{listing.relative_to(ROOT)}: there is no file {source}")
        sources.append(source)
    return sources


def add_generated_sources(extension: Extension) -> None:
    """Writes the C for the tables of all shipped systems, and has it compiled."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    systems = importlib.import_module(f"{CORE}.chips").shipped_systems()
    codegen = importlib.import_module(f"{CORE}.air.codegen")
    for path in codegen.write_sources(systems, ROOT / GENERATED):
        name = str(path.relative_to(ROOT))
        (extension.sources if path.suffix == ".c" else extension.depends).append(name)
    extension.extra_compile_args += GENERATED_ARGS


def add_fill_sources(extension: Extension) -> None:
    """Writes the C that fills the tables of the machine's chips, and has it compiled."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    chips = importlib.import_module(f"{CORE}.zkvm.row_chips").ROW_CHIPS
    code = importlib.import_module(f"{CORE}.zkvm.fill_code")
    for path in code.write_sources(chips, ROOT / FILL_GENERATED):
        extension.sources.append(str(path.relative_to(ROOT)))


def extensions() -> list[Extension]:
    headers = sorted(
        str(path.relative_to(ROOT))
        for pattern in ("*.h", "*.inc", "*.pxd")
        for path in (ROOT / CORE).rglob(pattern)
    )
    found = []
    for pyx in sorted((ROOT / CORE).rglob("_*.pyx")):
        room = pyx.parent
        module = ".".join(pyx.relative_to(ROOT).with_suffix("").parts)
        found.append(
            Extension(
                module,
                sources=[str(pyx.relative_to(ROOT)), *listed_sources(room, pyx.stem)],
                depends=headers,
                include_dirs=[CORE, str(room.relative_to(ROOT))],
                extra_compile_args=COMPILE_ARGS + CYTHON_ARGS,
            )
        )
    return found


def cythonized() -> list[Extension]:
    wanted = extensions()
    if not wanted or os.environ.get(WITHOUT_EXTENSIONS):
        return []
    if Cython.__version__ != CYTHON_VERSION:
        sys.exit(f"Cython {CYTHON_VERSION} is needed, {Cython.__version__} is installed")
    return cythonize(
        wanted,
        build_dir="build/cython",
        include_path=[str(ROOT)],
        compiler_directives={"language_level": "3", "embedsignature": True},
        nthreads=0,
    )


if __name__ == "__main__":
    os.chdir(ROOT)
    setup(ext_modules=cythonized(), cmdclass={"build_ext": BuildExtensions})
