"""report.tex: two booktabs tables, the accuracy waterfall and the energy per layer, for \\input in a paper.

They need `\\usepackage{booktabs}` and nothing else.
"""

from __future__ import annotations

from itertools import pairwise

from . import prose, tables
from .schema import Report
from .tables import Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\`{}",
    "[": "{[}",
    "]": "{]}",
    "\u2013": "--",
    "\u2014": "---",
    "\u2212": "$-$",
    "\u00b1": r"$\pm$",
    "\u00d7": r"$\times$",
    "\u00b5": r"$\mu$",
    "\u00b0": r"$^\circ$",
    "\u00b2": "$^2$",
    "\u00b3": "$^3$",
    "\u2192": r"$\to$",
    "\u2264": r"$\le$",
    "\u2265": r"$\ge$",
    "\u2018": "`",
    "\u2019": "'",
    "\u201c": "``",
    "\u201d": "''",
    "\u2026": r"\ldots{}",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "δ": r"$\delta$",
    "ε": r"$\epsilon$",
    "θ": r"$\theta$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "π": r"$\pi$",
    "ρ": r"$\rho$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
    "φ": r"$\phi$",
    "ω": r"$\omega$",
    "Δ": r"$\Delta$",
    "Σ": r"$\Sigma$",
}


def render(report: Report) -> str:
    """The text of report.tex: comments that say where the numbers come from, then the two tables."""
    shown = tables.first_rule(report)
    energy = tables.energy_layers(report, shown)
    totals = " ".join(prose.energy(report, shown))
    more = "Other counting rules are in report.json." if len(shown) < len(report.energy) else ""
    rule = f"Counted: {tables.rule_text(report, shown[0])}."
    blocks = [
        f"% {_comment(prose.title(report))}",
        f"% {_comment(prose.about(report))}",
        "% Needs \\usepackage{booktabs}. Every number is in report.json.",
        "",
        table(tables.waterfall(report), f"{tables.waterfall(report).caption} {prose.lava(report)}"),
        "",
        table(energy, " ".join([energy.caption, rule, totals, prose.scope(report), more])),
    ]
    return "\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX sets as it is. A character outside Latin-1 without a rule is set as its code point, U+XXXX."""
    line = " ".join(text.split())
    # Two hyphens stay two hyphens; LaTeX would join them into a dash.
    return "".join("-{}" if c == after == "-" else _escape(c) for c, after in pairwise(line + " "))


def table(value: Table, caption: str) -> str:
    """One `table` environment with a booktabs `tabular`, labelled `tab:` and the table's key."""
    columns = "".join("p{0.2\\linewidth}" if a == "p" else a for a in value.align)
    lines = [
        "\\begin{table}",
        "  \\centering",
        "  \\small",
        "  \\setlength{\\tabcolsep}{4pt}",
        f"  \\caption{{{escape(caption)}}}",
        f"  \\label{{tab:{value.key}}}",
        "  \\smallskip",
        f"  \\begin{{tabular}}{{{columns}}}",
        "    \\toprule",
        _row(value.header),
        "    \\midrule",
        *(_row(row) for row in value.rows),
    ]
    if value.total:
        lines += ["    \\midrule", _row(value.total)]
    return "\n".join([*lines, "    \\bottomrule", "  \\end{tabular}", "\\end{table}"])


def _row(cells: tuple[str, ...]) -> str:
    return f"    {' & '.join(map(escape, cells))} \\\\"


def _escape(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii() and character.isprintable():
        return character
    if "\u00c0" <= character <= "\u00ff":  # letters of Latin-1, which LaTeX reads as UTF-8
        return character
    return f"U+{ord(character):04X}"


def _comment(text: str) -> str:
    """One line, so that nothing of it leaves the comment."""
    return " ".join(text.split())
