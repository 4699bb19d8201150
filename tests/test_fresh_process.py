"""Every example of the docstrings and pages, in a process of its own that has done nothing else.

The doctests that pytest collects run one after another in a process that has long used the package; what goes wrong at
the first call alone they do not see. Here a process gets the lines of one docstring, or of one page, with nothing
imported but what they import, and its output is held against what the example shows. Read `test_house.py` next.
"""

from __future__ import annotations

import ast
import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MARK, RAISED = "\x1e", "\x1d"
PARSER, CHECKER = doctest.DocTestParser(), doctest.OutputChecker()
# What runs there. `single` prints as the prompt does; a module's own names are known to its docstrings.
CHILD = """
import sys
names = {{"__name__": "__main__"}}
if {module!r}:
    __import__({module!r})
    names.update(vars(sys.modules[{module!r}]), __name__="__main__")
for source in {sources!r}:
    sys.stdout.write({MARK!r})
    try:
        exec(compile(source, "<example>", "single"), names)
    except Exception as error:
        kind = type(error)
        sys.stdout.write(f"{RAISED}{{kind.__module__}}.{{kind.__qualname__}}: {{error}}\\n")
"""


def docstrings() -> Iterator[tuple[str, str, list[doctest.Example]]]:
    """(id, module, examples) of each docstring that has some, in files of which nothing is imported here."""
    for file in sorted(ROOT.glob("tinygrad_bp/**/*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found = PARSER.get_examples(ast.get_docstring(node, clean=False) or "")
                if found:
                    name = module if isinstance(node, ast.Module) else f"{module}:{node.lineno}:{node.name}"
                    yield name, module, found


def pages() -> Iterator[tuple[str, str, list[doctest.Example]]]:
    for page in ("docs/compiler.md", "docs/gradcheck.md"):
        yield page, "", PARSER.get_examples((ROOT / page).read_text("utf-8"))


def run(module: str, sources: list[str], tmp_path: Path) -> list[str]:
    """What each of these lines of code prints, or raises, in a new process."""
    code = CHILD.format(module=module, sources=sources, MARK=MARK, RAISED=RAISED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    made = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=environment, capture_output=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert not made.stderr, made.stderr
    return made.stdout.split(MARK)[1:]


ALL = [*docstrings(), *pages()]


@pytest.mark.parametrize(("module", "examples"), [(m, e) for _, m, e in ALL], ids=[name for name, _, _ in ALL])
def test_an_example_alone(module: str, examples: list[doctest.Example], tmp_path: Path) -> None:
    found = run(module, [example.source for example in examples], tmp_path)
    for example, got in zip(examples, found, strict=True):
        flags = sum(flag for flag, on in example.options.items() if on)
        want = example.want
        if example.exc_msg is not None:
            text, want = got.partition(RAISED)[2], example.exc_msg
            got = text if "." in want.partition(":")[0] else re.sub(r"^[\w.]*\.(?=\w+:)", "", text)
        assert CHECKER.check_output(want, got, flags), f"{example.source}\nshown:\n{want}\nfound:\n{got}"


def test_what_the_readme_shows_runs(tmp_path: Path) -> None:
    """Its Python, block after block, and then a call of the compiled step at the end."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    code = "\n".join([*blocks, "print(step(x, y).item() < 10)"])
    made = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-1] == "True"


def test_a_fresh_process_is_fresh(tmp_path: Path) -> None:
    listed = "[name for name in sys.modules if name.partition('.')[0] in ('numpy', 'tinygrad_bp', 'doctest')]"
    assert run("", ["import sys", listed], tmp_path) == ["", "[]\n"]
