"""paper.pdf from the parts, with the TeX that is installed: no questions, no shell, no endless run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ...hw import BadInput, SpikeportError
from .document import NAME

_ERROR = re.compile(r"!|\./\S+:\d+:|I (couldn't|found no|was expecting)")

PROGRAMS = ("pdflatex", "bibtex")
TIMEOUT_S = 120.0
"""For each of the four passes; a pack takes seconds."""


@dataclass(frozen=True)
class Typeset:
    """A finished document. log: of the last pass."""

    pdf: bytes
    log: str


def require() -> None:
    """Raise BadInput, with the way out, unless LaTeX and BibTeX are installed."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise BadInput(
            f"--pdf: {' and '.join(missing)} not found; install TeX (on Debian: apt install "
            f"texlive-latex-recommended), or leave --pdf out and compile {NAME}.tex elsewhere"
        )


def typeset(members: Mapping[str, bytes], created: datetime, timeout_s: float = TIMEOUT_S) -> Typeset:
    """Compile `paper.tex` of a pack in a folder of its own. created: the date that stands in the PDF.

    Raises BadInput without LaTeX, SpikeportError with the log's first error where a pass fails or takes too long.
    """
    require()
    with tempfile.TemporaryDirectory(prefix="spikeport-paper-") as name:
        folder = Path(name)
        for member, content in members.items():
            path = folder / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "-file-line-error", NAME]
        passes = [latex, latex, latex]
        if "references.bib" in members:
            passes.insert(1, ["bibtex", NAME])
        for command in passes:
            _run(command, folder, created, timeout_s)
        log = (folder / f"{NAME}.log").read_text(encoding="latin-1")
        return Typeset(pdf=(folder / f"{NAME}.pdf").read_bytes(), log=log)


def _run(command: list[str], folder: Path, created: datetime, timeout_s: float) -> None:
    """One pass. Files are written in the folder alone; the date of the PDF is the report's."""
    fixed = {"SOURCE_DATE_EPOCH": str(int(created.timestamp())), "FORCE_SOURCE_DATE": "1", "openout_any": "p"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **fixed, "max_print_line": "1000"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SpikeportError(
            f"{command[0]}: took more than {timeout_s:g} s and was stopped; leave --pdf out and compile {NAME}.tex by "
            "hand"
        ) from None
    if done.returncode:
        raise SpikeportError(
            f"{command[0]}: failed: {_error(done.stdout.decode('latin-1'))}; leave --pdf out, so that the pack is "
            f"written, and compile {NAME}.tex by hand"
        )


def _error(output: str) -> str:
    """The first error of a log and the line after it, which names the place. BibTeX's begin with `I`."""
    lines = output.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if _ERROR.match(line):
            return f"{line} {after.strip()}".strip()
    return lines[-1] if lines else "it said nothing"
