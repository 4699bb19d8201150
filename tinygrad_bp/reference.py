"""Writes `docs/operations.md`: every operation of the REGISTRY with its derivative, as the tables state it.

`python -m tinygrad_bp.reference` writes it; a test checks that it is fresh. The rules are read from the source of the
tables, so what the page shows is what runs. Read `docs/architecture.md` next.
"""

from __future__ import annotations

import ast
from pathlib import Path

from . import ops
from .declare import REGISTRY, Op
from .grammar import grammar

HEAD = """# Operations

Written by `python -m tinygrad_bp.reference` from the tables in `tinygrad_bp/ops/`; do not edit.

`g` is the cotangent (the gradient that arrives at the output), `y` the output, `x` the only input, `a`, `b`, `c`
several inputs. Every operation is a function `tg.name(…)` (but the parts of others), most are methods `t.name(…)`
and answer to NumPy's function of the same meaning. Keyword names may be
PyTorch's (`dim`, `keepdim`) or NumPy's (`axis`, `keepdims`).
"""
WORDS = {
    "elementwise": "On each element",
    "reduction": "Folding axes away (the rule sees g and y with the folded axes kept as size 1)",
    "linear": "Linear maps (the rule is the adjoint)",
    "bilinear": "Products",
    "fused": "Declared whole",
    "composite": "Made of other operations",
    "constant": "Without a gradient",
}


def rules_in_source() -> dict[str, list[str]]:
    """For each name assigned in a table, the text of its rules."""
    found: dict[str, list[str]] = {}
    for path in sorted(Path(ops.__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                rules = [arg for arg in node.value.args[2:] if isinstance(arg, ast.Lambda)]
                found[ast.unparse(node.targets[0])] = [ast.unparse(rule.body) for rule in rules]
    return found


def call_of(op: Op, name: str) -> str:
    return f"`{name}({', '.join(grammar(op).names)})`"


def table(word: str, rules: dict[str, list[str]]) -> list[str]:
    """The rows of one kind of operation."""
    with_rules = word not in ("composite", "constant")
    columns = ["operation", "what it is", *["gradient of each input"] * with_rules]
    rows = [columns, ["---"] * len(columns)]
    for name, op in sorted(REGISTRY.items()):
        if op.word == word:
            derivatives = " · ".join(f"`{rule}`" for rule in rules.get(name, ()))
            rows.append([call_of(op, name), op.doc, *[derivatives] * with_rules])
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def text() -> str:
    """The whole page."""
    rules = rules_in_source()
    parts = [HEAD]
    for word, title in WORDS.items():
        parts += [f"## {title}", "", *table(word, rules), ""]
    aliases = sorted((alias, name) for name, op in REGISTRY.items() for alias in op.alias)
    parts += ["## Other names", "", ", ".join(f"`{alias}` = `{name}`" for alias, name in aliases), ""]
    return "\n".join(parts)


def path() -> Path:
    return Path(__file__).parent.parent / "docs" / "operations.md"


if __name__ == "__main__":
    path().parent.mkdir(exist_ok=True)
    path().write_text(text(), encoding="utf-8")
