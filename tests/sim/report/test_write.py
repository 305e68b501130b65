import stat
from pathlib import Path
from typing import Any

import pytest
from spikeport.hw import BadInput
from spikeport.sim.report import Report, figures, html, latex, load, markdown, parse, write


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is slow and is not what these tests are about."""
    monkeypatch.setattr(figures, "draw", lambda report: {})


def test_four_files_are_written_and_the_json_loads_equal(report: Report, tmp_path: Path):
    folder = tmp_path / "runs" / "digits"
    paths = write(report, folder)
    assert [path.name for path in paths] == ["report.md", "report.tex", "report.html", "report.json"]
    assert sorted(folder.iterdir()) == sorted(paths)  # and no temporary file is left
    assert load(folder / "report.json") == report
    for render, name in ((markdown.render, "report.md"), (latex.render, "report.tex"), (html.render, "report.html")):
        assert (folder / name).read_text(encoding="utf-8") == render(report)


def test_files_can_be_read_by_those_the_umask_allows(report: Report, tmp_path: Path):
    plain = tmp_path / "plain"
    plain.touch()
    path = write(report, tmp_path)[0]
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_writing_again_replaces_the_files(values: dict[str, Any], tmp_path: Path):
    write(parse(values), tmp_path)
    values["seed"] = 8
    write(parse(values), tmp_path)
    assert load(tmp_path / "report.json").seed == 8


def test_nothing_is_written_if_a_text_cannot_be_made(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: Report) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr(html, "render", fail)
    with pytest.raises(RuntimeError, match="no page"):
        write(report, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_or_not_at_all(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "report.md").write_text("old", encoding="utf-8")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BadInput, match="No space left on device"):
        write(report, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == "old"


def test_a_folder_that_is_a_file_is_bad_input(report: Report, tmp_path: Path):
    (tmp_path / "taken").touch()
    with pytest.raises(BadInput, match="the report cannot be written"):
        write(report, tmp_path / "taken")
