"""The report of a run: one validated value, rendered as JSON, Markdown, LaTeX and a single HTML file.

    report = parse({"recipe": "digits", ...})      or  Report(...)
    write(report, folder)                          report.json, report.md, report.tex, report.html
    load(folder / "report.json") == report

Pure functions of a `Report`; nothing here knows of training or of run folders. Every key: docs/report.md.
"""

from ..interval import wilson95
from .schema import (
    SCHEMA_VERSION,
    STEPS,
    Audit,
    AuditStep,
    Convention,
    Data,
    Drift,
    Energy,
    Item,
    LavaCheck,
    Layer,
    NetworkFacts,
    NeuroBench,
    Notice,
    Population,
    Report,
    Score,
    Step,
    Timesteps,
    json_schema,
    json_text,
    load,
    parse,
)
from .write import write

__all__ = [
    "SCHEMA_VERSION",
    "STEPS",
    "Audit",
    "AuditStep",
    "Convention",
    "Data",
    "Drift",
    "Energy",
    "Item",
    "LavaCheck",
    "Layer",
    "NetworkFacts",
    "NeuroBench",
    "Notice",
    "Population",
    "Report",
    "Score",
    "Step",
    "Timesteps",
    "json_schema",
    "json_text",
    "load",
    "parse",
    "wilson95",
    "write",
]
