"""paper.tex compiles as it is, and looks whole in its log; without LaTeX, or with a fault, it says what to do."""

from __future__ import annotations

import datetime
import re
import shutil

import pytest
from spikeport.hw import BadInput, SpikeportError
from spikeport.pipeline.paper import typeset as module
from spikeport.pipeline.paper.pack import parts
from spikeport.pipeline.paper.typeset import typeset

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
latex = pytest.mark.skipif(shutil.which("pdflatex") is None or shutil.which("bibtex") is None, reason="needs LaTeX")


def paper(body: str) -> dict[str, bytes]:
    return {"paper.tex": f"\\documentclass{{article}}\\begin{{document}}{body}\\end{{document}}".encode()}


@pytest.fixture(scope="module")
def compiled(report, recipe):
    """The example's pack with all its figures."""
    return typeset(parts(report, recipe), report.created)


@latex
def test_the_pack_of_the_example_compiles_to_a_pdf(compiled):
    assert compiled.pdf.startswith(b"%PDF-")
    (pages,) = re.findall(r"Output written on paper.pdf \((\d+) pages", compiled.log)
    assert int(pages) > 5


@latex
def test_its_log_is_clean(compiled):
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", compiled.log)]
    assert max(wide, default=0.0) <= 20
    for fault in ("undefined", "multiply defined", "Missing character", "Float too large", "Rerun to get"):
        assert fault not in compiled.log


@latex
def test_the_same_pack_gives_the_same_pdf():
    assert typeset(paper("Hello."), NOW).pdf == typeset(paper("Hello."), NOW).pdf


@latex
def test_a_fault_is_told_with_its_place():
    with pytest.raises(SpikeportError, match=r"pdflatex: failed: ./paper.tex:1: Undefined control sequence.*\\nosuch"):
        typeset(paper("\\nosuch"), NOW)


@latex
def test_an_unknown_citation_is_told_by_bibtex():
    bib = {"references.bib": b"@misc{a, title = {A}}\n"}
    with pytest.raises(SpikeportError, match=r"bibtex: failed: I found no"):
        typeset({**paper("Nothing cited."), **bib}, NOW)


@latex
def test_no_shell_is_run_and_no_question_is_asked(tmp_path):
    mark = tmp_path / "mark"
    typeset(paper(f"\\immediate\\write18{{touch {mark}}}x"), NOW)
    assert not mark.exists()
    with pytest.raises(SpikeportError, match=r"File `absent\.tex' not found"):
        typeset(paper("\\input{absent}"), NOW)


@latex
def test_a_pass_that_does_not_end_is_stopped():
    with pytest.raises(SpikeportError, match=r"took more than 0\.5 s and was stopped"):
        typeset(paper("\\loop\\iftrue\\repeat"), NOW, timeout_s=0.5)


def test_without_latex_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match=r"pdflatex and bibtex not found; install TeX.*texlive-latex-recommended"):
        typeset(paper("x"), NOW)


def test_every_part_is_in_the_paper(texts):
    text = texts["paper.tex"]
    for name in texts:
        if name.startswith("tables/"):
            assert f"\\input{{{name.removesuffix('.tex')}}}" in text
        if name.startswith("figures/"):
            assert f"{{{name.removesuffix('.svg')}}}" in text
    assert "\\input{methods}" in text
    assert "\\input{checklist}" in text
