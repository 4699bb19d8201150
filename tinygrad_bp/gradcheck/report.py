"""What a check tells: one `Finding` per input or parameter, its worst `Entry`s, and the `GradcheckReport` of all.

A report is true when nothing is wrong, prints as text, shows as a table in a notebook, and turns into plain
dictionaries for a file. Read `numeric.py` next: where the numeric values and their error bars come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import pytree
from ..errors import TensorError

if TYPE_CHECKING:
    import numpy as np

VERDICTS = {
    "PASS": "the backward agrees with the finite differences",
    "FAIL": "the backward disagrees with the finite differences",
    "KINK": "nothing to compare: the function has a kink or a jump at every entry that was looked at",
    "INCONCLUSIVE": "the finite differences are too inexact here to judge",
    "VACUOUS": "nothing was compared",
    "NONDETERMINISTIC": "the function, or its backward, gives different values for the same input and seed",
    "SHAPE": "the gradient has another shape than its input",
    "DTYPE": "the gradient has another dtype than its input",
    "NONFINITE": "a value or a gradient is NaN or infinite",
    "MUTATED_INPUT": "the function or its backward overwrites what it was given",
    "NO_GRAD_PATH": "the output depends on it, but no gradient reaches it",
}
# A kink is the function's property and no fault of the backward, and an input may well be unused (VACUOUS); but a
# report in which nothing at all was compared has not passed.
GOOD = ("PASS", "KINK", "INCONCLUSIVE", "VACUOUS")
COLUMNS = ("analytic (your backward)", "numeric (finite difference)", "± error bar", "abs. error", "rel. error")


def for_json(value: Any) -> Any:
    """What goes into JSON: NumPy's values as Python's, tuples as lists, keys as text."""
    return pytree.fold(lambda x: x.tolist() if hasattr(x, "tolist") else x, json_container, value)


def json_container(tree: Any, parts: list[Any]) -> Any:
    return dict(zip(map(str, tree), parts, strict=True)) if isinstance(tree, dict) else parts


class Entry:
    """One compared number: an entry of the gradient, or its product with one random direction (index is then None).

    `numeric` is the finite difference and `error_bar` its own uncertainty, in the same unit; `rel_error` is the
    difference over the larger of the two magnitudes.

    >>> Entry((0, 1), 2.0, 1.0, 1e-9).rel_error
    0.5
    """

    __slots__ = ("abs_error", "analytic", "error_bar", "index", "numeric", "rel_error", "verdict")

    def __init__(
        self, index: tuple[int, ...] | None, analytic: float, numeric: float, error_bar: float, verdict: str = "FAIL"
    ) -> None:
        self.index, self.analytic, self.numeric = index, float(analytic), float(numeric)
        self.error_bar, self.verdict = float(error_bar), verdict
        self.abs_error = abs(self.analytic - self.numeric)
        largest = max(abs(self.analytic), abs(self.numeric))
        self.rel_error = self.abs_error / largest if largest else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain Python values."""
        return {name: for_json(getattr(self, name)) for name in self.__slots__}

    def cells(self) -> list[str]:
        """Its row of the table."""
        where = "a random direction" if self.index is None else f"[{', '.join(map(str, self.index))}]"
        numbers = (f"{self.analytic:.9g}", f"{self.numeric:.9g}", f"{self.error_bar:.1e}")
        return [where, *numbers, f"{self.abs_error:.2e}", f"{self.rel_error:.2e}", self.verdict]

    def __repr__(self) -> str:
        return f"Entry({', '.join(self.cells())})"


class Finding:
    """What was found about one input or parameter (`name`) and one output of the function (`output`, from 0).

    Attributes:
        verdict: one of VERDICTS. entries: the worst first. counts: how many numbers were 'checked', 'wrong', how many
            'kinks' and 'uncertain' were set aside, 'of' how many entries the input has.
        analytic, numeric: the arrays that were compared (the input's shape, NaN where not looked at), or None.
        diagnosis: sentences about the likely cause. slope: of the Taylor remainder, 2 if right and 1 if wrong, or None.
        note: what happened, where the verdict needs saying more. order: 1, or 2 for the second derivative.
    """

    def __init__(
        self, name: str, verdict: str, *, output: int = 0, label: str = "", note: str = "", order: int = 1
    ) -> None:
        self.name, self.verdict, self.output, self.note, self.order = name, verdict, output, note, order
        self.label = label or f"output {output}"  # what the report calls that output
        self.entries: list[Entry] = []
        self.counts: dict[str, int] = {}
        self.analytic: np.ndarray | None = None
        self.numeric: np.ndarray | None = None
        self.diagnosis: list[str] = []
        self.slope: float | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.verdict in GOOD

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain Python values."""
        fields = {name: for_json(value) for name, value in vars(self).items() if name != "entries"}
        return {**fields, "entries": [entry.to_dict() for entry in self.entries]}

    def headline(self, several_outputs: bool = False) -> str:
        """Verdict, name and counts in one line."""
        of = self.counts.get("of")
        parts = [f"{key} {n}" for key, n in self.counts.items() if n and key != "of"]
        detail = f" ({', '.join(parts)}{f' of {of} entries' if of else ''})" if parts else ""
        output = f" · {self.label}" if several_outputs else ""
        return f"{self.verdict:<13} {self.name}{output}{detail}"

    def text(self, several_outputs: bool = False) -> str:
        """The headline, and for anything but a pass the cause and the worst entries."""
        lines = [self.headline(several_outputs)]
        if self.verdict != "PASS":
            lines.append(f"    {self.note or VERDICTS[self.verdict]}")
        lines += [f"    → {sentence}" for sentence in self.diagnosis]
        if self.entries:
            lines += ["    " + line for line in _aligned([["entry", *COLUMNS, ""], *[e.cells() for e in self.entries]])]
        if self.slope is not None and not self.passed:
            lines.append(f"    slope of the Taylor remainder {self.slope:.2f}: 2 if the backward is right, 1 if wrong")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Finding({self.headline()})"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


class GradcheckReport:
    """The result of a check: true when passed; `print` it, show it in a notebook, or take `to_dict()`.

    Attributes:
        findings: one per input or parameter and output. skipped: (name, why) of what was not checked.
        notes: what else is worth knowing. cost: 'forward' and 'backward' passes and 'seconds'. seed: of every draw.

    >>> report = GradcheckReport("relu", [Finding("input 0", "PASS")])
    >>> bool(report), report.verdict
    (True, 'PASS')
    """

    def __init__(
        self,
        subject: str,
        findings: list[Finding],
        *,
        skipped: list[tuple[str, str]] | None = None,
        notes: list[str] | None = None,
        cost: dict[str, float] | None = None,
        seed: int = 0,
        outputs: int = 1,
    ) -> None:
        self.subject, self.findings, self.seed, self.outputs = subject, findings, seed, outputs
        self.skipped, self.notes, self.cost = skipped or [], notes or [], cost or {}

    @property
    def passed(self) -> bool:
        """Whether no finding is wrong and at least one compared something."""
        vacuous = all(finding.verdict == "VACUOUS" for finding in self.findings)
        return not vacuous and all(finding.passed for finding in self.findings)

    @property
    def failures(self) -> list[Finding]:
        """The findings that are wrong."""
        return [finding for finding in self.findings if not finding.passed]

    @property
    def verdict(self) -> str:
        """PASS, or the verdict of the worst finding."""
        order = [
            "MUTATED_INPUT", "NONDETERMINISTIC", "NONFINITE", "SHAPE", "DTYPE", "FAIL", "NO_GRAD_PATH",
            "PASS", "INCONCLUSIVE", "KINK", "VACUOUS",
        ]  # fmt: skip
        found = {finding.verdict for finding in self.findings}
        return next((verdict for verdict in order if verdict in found), "VACUOUS")

    def __bool__(self) -> bool:
        return self.passed

    def __getitem__(self, name: str) -> Finding:
        """The finding of an input or parameter: the first wrong one, else the first."""
        named = [finding for finding in self.findings if finding.name == name]
        if not named:
            raise KeyError(f"no finding named {name!r}; there are {[finding.name for finding in self.findings]}")
        return next((finding for finding in named if not finding.passed), named[0])

    @property
    def diagnosis(self) -> list[str]:
        """Every sentence about a cause, once."""
        return list(dict.fromkeys(sentence for finding in self.findings for sentence in finding.diagnosis))

    def __str__(self) -> str:
        several = self.outputs > 1
        wrong = len(self.failures)
        state = (
            f"{wrong} of {len(self.findings)} wrong" if wrong else "passed" if self.passed else "nothing was compared"
        )
        lines = [f"gradcheck of {self.subject}: {state}"]
        lines += ["  " + f.text(several or f.order == 2).replace("\n", "\n  ") for f in self.failures]
        lines += ["  " + line for line in self._good_lines()]
        lines += [f"  {'skipped':<13} {name}: {why}" for name, why in self.skipped]
        lines += [f"  note: {note}" for note in self.notes]
        if self.cost:
            cost = self.cost
            lines.append(
                f"  cost: {cost['forward']:.0f} forward and {cost['backward']:.0f} backward passes, "
                f"{cost['seconds']:.2g} s; seed {self.seed}"
            )
        return "\n".join(lines)

    def _good_lines(self) -> list[str]:
        """What is not wrong, one line for each name and order of derivative, the outputs taken together."""
        lines = []
        for name, order in dict.fromkeys((f.name, f.order) for f in self.findings if f.passed):
            group = [f for f in self.findings if f.passed and (f.name, f.order) == (name, order)]
            if len(group) == 1 and order == 1:
                lines += group[0].text().split("\n")
                continue
            verdicts = sorted({f.verdict for f in group}, key=list(VERDICTS).index)
            what = "second derivative" if order == 2 else f"{len(group)} outputs"
            notes = "; ".join(dict.fromkeys(f.note for f in group if f.verdict not in ("PASS", "VACUOUS") and f.note))
            lines.append(f"{verdicts[0]:<13} {name} · {what}{f': {notes}' if notes else ''}")
        return lines

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        rows = []
        for finding in sorted(self.findings, key=lambda finding: finding.passed):
            colour = "#1a7f37" if finding.passed else "#cf222e"
            detail = "<br>".join(escape(line) for line in [*finding.diagnosis, finding.note] if line)
            worst = escape(", ".join(finding.entries[0].cells()[:3])) if finding.entries else ""
            rows.append(
                f"<tr><td style='color:{colour}'><b>{finding.verdict}</b></td><td>{escape(finding.name)}</td>"
                f"<td>{finding.output}</td><td>{detail}</td><td>{worst}</td></tr>"
            )
        head = "<tr><th>verdict</th><th>of</th><th>output</th><th>why</th><th>worst: entry, analytic, numeric</th></tr>"
        skipped = "".join(f"<p>skipped {escape(name)}: {escape(why)}</p>" for name, why in self.skipped)
        title = f"<p>gradcheck of {escape(self.subject)}: <b>{'passed' if self.passed else 'failed'}</b></p>"
        return f"{title}<table>{head}{''.join(rows)}</table>{skipped}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python values, ready for JSON."""
        fields = {name: for_json(value) for name, value in vars(self).items() if name != "findings"}
        findings = [finding.to_dict() for finding in self.findings]
        return {**fields, "passed": self.passed, "verdict": self.verdict, "findings": findings}


class GradcheckError(TensorError, AssertionError):
    """A gradient check that failed; `report` is the GradcheckReport, and the message is its text.

    >>> GradcheckError(GradcheckReport("relu", [])).report.passed
    False
    """

    def __init__(self, report: GradcheckReport) -> None:
        super().__init__(str(report))
        self.report = report
