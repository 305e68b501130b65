"""The values of a report that say what the network costs: bills, audits, NeuroBench's metrics."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from .values import Amount, Count, Fraction, Text, Value


class Item(Value):
    """One line of a bill, all layers together: events of one mean sample, their cost each, and their energy in pJ.

    side: the spiking network or the ANN. unit_pj: null where it differs between layers.
    """

    side: Literal["snn", "ann"]
    what: Text
    events: Amount
    unit_pj: Amount | None
    pj: Amount


class Convention(Value):
    """What the network costs under one convention, in pJ per mean sample. ann_pj: null where it defines no ANN.

    ratio: ANN / SNN; null without an ANN or where the SNN total is zero. scope: what the figures leave out.
    """

    convention: Text
    title: Text
    snn_pj: Amount
    ann_pj: Amount | None
    ratio: float | None
    scope: Text
    items: tuple[Item, ...]


class AuditStep(Value):
    """What one correction adds to a mean sample, in pJ; may be negative."""

    what: Text
    pj: float


class Audit(Value):
    """From the energy as usually reported to the audited one, in pJ per mean sample.

    ann_usual_pj: the ANN as usually reported.
    """

    convention: Text
    usual_pj: Amount
    steps: tuple[AuditStep, ...]
    audited_pj: Amount
    ann_usual_pj: Amount

    @model_validator(mode="after")
    def _steps_lead_from_one_to_the_other(self) -> Audit:
        end = self.usual_pj + sum(step.pj for step in self.steps)
        largest = max([self.usual_pj, *(abs(step.pj) for step in self.steps)])
        if not math.isclose(end, self.audited_pj, rel_tol=1e-6, abs_tol=1e-6 * largest + 1e-9):
            raise ValueError(f"{self.convention}: audited_pj is {self.audited_pj}, usual and steps add up to {end}")
        return self


class NeuroBench(Value):
    """NeuroBench's metrics, means per sample: counts and bytes, no joules."""

    effective_macs: Amount
    effective_acs: Amount
    dense: Count
    footprint_bytes: Count
    connection_sparsity: Fraction
    activation_sparsity: Fraction
