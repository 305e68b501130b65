"""The report of a run: one validated value, rendered as JSON, Markdown, LaTeX and a single HTML file.

    report = parse({"recipe": "digits", ...})      or  Report(...)
    write(report, folder)                          report.json, report.md, report.tex, report.html
    load(folder / "report.json") == report

Pure functions of a `Report`; nothing here knows of training or of run folders. Every key: docs/report.md.
"""

from ..interval import wilson95
from .onchip import CoreSquare, Messages, OnChip, PopulationOnChip, Refusal, TimeBound, TotalEnergy
from .portrait import Correlation, Heatmap, Portrait, Raster, Rasters
from .priced import Audit, AuditStep, Convention, Item, NeuroBench
from .schema import (
    SCHEMA_VERSION,
    STEPS,
    AnyTime,
    Data,
    Drift,
    Energy,
    LavaCheck,
    Layer,
    NetworkFacts,
    Notice,
    Population,
    Report,
    Step,
    Timesteps,
    json_schema,
    json_text,
    load,
    parse,
)
from .scrutiny import (
    Baseline,
    BreakEven,
    Events,
    Histogram,
    Margin,
    Sensitivity,
    Spread,
    Swing,
    Threshold,
)
from .values import Score
from .write import write

__all__ = [
    "SCHEMA_VERSION",
    "STEPS",
    "AnyTime",
    "Audit",
    "AuditStep",
    "Baseline",
    "BreakEven",
    "Convention",
    "CoreSquare",
    "Correlation",
    "Data",
    "Drift",
    "Energy",
    "Events",
    "Heatmap",
    "Histogram",
    "Item",
    "LavaCheck",
    "Layer",
    "Margin",
    "Messages",
    "NetworkFacts",
    "NeuroBench",
    "Notice",
    "OnChip",
    "Population",
    "PopulationOnChip",
    "Portrait",
    "Raster",
    "Rasters",
    "Refusal",
    "Report",
    "Score",
    "Sensitivity",
    "Spread",
    "Step",
    "Swing",
    "Threshold",
    "TimeBound",
    "Timesteps",
    "TotalEnergy",
    "json_schema",
    "json_text",
    "load",
    "parse",
    "wilson95",
    "write",
]
