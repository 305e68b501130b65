"""A report's files on disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ...hw import BadInput
from . import html, latex, markdown
from .schema import Report, json_text


def write(report: Report, folder: Path) -> tuple[Path, ...]:
    """Write report.md, report.tex, report.html and report.json into `folder`, which is made if it is missing.

    All four texts are made before the first is written, and each file appears under its name complete or not at all;
    report.json comes last. Returns the four paths. Raises BadInput if the folder cannot be written.
    """
    folder = Path(folder)
    texts = {
        "report.md": markdown.render(report),
        "report.tex": latex.render(report),
        "report.html": html.render(report),
        "report.json": json_text(report),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            _replace(folder / name, text)
    except OSError as error:
        raise BadInput(f"{folder}: the report cannot be written ({error.strerror}); name a writable folder") from None
    return tuple(folder / name for name in texts)


def _replace(path: Path, text: str) -> None:
    """Write to a temporary name beside `path`, then rename."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only the owner may read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
