"""paper.tex: an article that inputs the parts, so that the pack can be read, and compiled, as it is.

It needs what Debian's texlive-latex-recommended brings, and BibTeX. Every part can be taken without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...sim.report import Report, prose
from ...sim.report.latex import escape

NAME = "paper"

_PREAMBLE = r"""\documentclass[11pt]{article}
\usepackage[utf8]{inputenc}
\IfFileExists{lmodern.sty}{\usepackage[T1]{fontenc}\usepackage{lmodern}}{}
\usepackage[margin=1in]{geometry}
\usepackage{booktabs,graphicx,longtable}
% Letters that the plain fonts do not have
\ProvideTextCommandDefault{\DH}{U+00D0}\ProvideTextCommandDefault{\dh}{U+00F0}
\ProvideTextCommandDefault{\TH}{U+00DE}\ProvideTextCommandDefault{\th}{U+00FE}
\DeclareUnicodeCharacter{00F7}{\ensuremath{\div}}
\makeatletter\renewcommand{\fps@table}{htbp}\renewcommand{\fps@figure}{htbp}
\setlength{\@fptop}{0pt}\makeatother
\raggedbottom
\renewcommand{\topfraction}{0.9}\renewcommand{\bottomfraction}{0.9}\renewcommand{\textfraction}{0.05}
\renewcommand{\floatpagefraction}{0.75}
\emergencystretch=3em
"""


def article(
    report: Report, *, results: Iterable[str], details: Iterable[str], figures: Mapping[str, str], sources: bool
) -> str:
    """The text of paper.tex.

    results, details: keys of tables. figures: captions by key. sources: whether any is cited.
    """
    lines = [
        _PREAMBLE,
        f"\\title{{{escape(report.recipe)} on {escape(report.network.chip)}: measurements}}",
        "\\author{}",
        f"\\date{{{report.created:%Y-%m-%d}}}",
        "\\begin{document}",
        "\\maketitle",
        escape(prose.about(report)),
        "\\section{Methods}",
        "\\input{methods}",
        "\\section{Results}",
        "Every number is in full precision in csv/, with its unit.",
        *(_table(key) for key in results),
        *(_figure(key, caption) for key, caption in figures.items()),
        "\\clearpage",
        "\\section{Assumptions}",
        "\\input{checklist}",
        "\\clearpage",
        "\\appendix",
        "\\section{Details}",
        *(_table(key) for key in details),
        "\\clearpage",
        *(["\\bibliographystyle{unsrt}", "\\bibliography{references}"] if sources else []),
        "\\end{document}",
    ]
    return "\n".join(lines) + "\n"


def _table(key: str) -> str:
    return f"\\input{{tables/{key}}}"


def _figure(key: str, caption: str) -> str:
    return "\n".join(
        [
            "\\begin{figure}",
            "  \\centering",
            f"  \\includegraphics[width=0.72\\linewidth,height=0.8\\textheight,keepaspectratio]{{figures/{key}}}",
            f"  \\caption{{{escape(caption)}}}",
            f"  \\label{{fig:{key}}}",
            "\\end{figure}",
        ]
    )
