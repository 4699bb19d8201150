"""The checks of the project, each in an environment of its own: `nox -l` lists them, `nox` runs most.

Read `.ci/run` next: the same checks on a machine that has nothing but Python.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "typecheck", "tests", "examples"]

PYTHONS = ["3.11", "3.12", "3.13"]
TORCH = "torch==2.13.0"  # as in .ci/run, and the kernels too
KERNELS = ["Nehalem", "Haswell"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite on every supported Python, with the newest NumPy: `nox -s tests -- -k tanh`."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=[PYTHONS[0]])
def oldest_numpy(session: nox.Session) -> None:
    """The test suite on the oldest NumPy that the package promises."""
    session.install("-e", ".[test]", "numpy==2.0.*")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=[PYTHONS[-1]])
def newest_numpy(session: nox.Session) -> None:
    """The test suite on the newest NumPy there is, release candidates included."""
    session.install("-e", ".[test]")
    session.install("--upgrade", "--pre", "numpy")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=[PYTHONS[0]])
def against_torch(session: nox.Session) -> None:
    """The test suite with PyTorch installed, so that the tests that compare with it run too."""
    session.install(TORCH, "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=[PYTHONS[0]])
@nox.parametrize("kernel", KERNELS)
def other_processors(session: nox.Session, kernel: str) -> None:
    """The compiler's tests with OpenBLAS's code for other processors: the last bits of a product depend on it."""
    session.install("-e", ".[test]")
    tests = session.posargs or sorted(map(str, Path("tests").glob("test_compile*.py")))
    session.run("python", "-m", "pytest", *tests, env={"OPENBLAS_CORETYPE": kernel})


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff over everything."""
    session.install("ruff")
    session.run("ruff", "check", *session.posargs)


@nox.session
def typecheck(session: nox.Session) -> None:
    """Strict mypy over the package."""
    session.install("-e", ".", "mypy")
    session.run("mypy", "--strict", "tinygrad_bp")


@nox.session
def examples(session: nox.Session) -> None:
    """Every example, briefly; `nox -s examples -- FOLDER` tells where the MNIST files are."""
    session.install("-e", ".[examples]")
    for example in sorted(Path("examples").glob("*.py")):
        if "__main__" not in example.read_text(encoding="utf-8"):
            continue  # a module that the examples share
        options = ["--quick"]
        if example.name.startswith("mnist"):
            if not session.posargs:
                session.log(f"skipped {example}: no folder with its data was given")
                continue
            options += ["--data", session.posargs[0]]
        session.run("python", str(example), *options, env={"MPLBACKEND": "Agg"})
