"""The values of a report that show what the networks do: spikes of one sample, and how alike ANN and SNN are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .values import Count, Positive, Text, Value

Coefficient = Annotated[float, Field(ge=-1, le=1)]


class Raster(Value):
    """Spikes of one population in one sample. shown: indices of the neurons drawn. spikes: (timestep, row of them)."""

    population: Text
    neurons: Positive
    shown: tuple[Count, ...]
    spikes: tuple[tuple[Count, Count], ...]

    @model_validator(mode="after")
    def _rows_exist(self) -> Raster:
        if any(row >= len(self.shown) for _, row in self.spikes) or max(self.shown, default=0) >= self.neurons:
            raise ValueError(f"{self.population}: a spike or a neuron lies outside of the {len(self.shown)} shown")
        return self


class Rasters(Value):
    """One sample in the deployed network. sample: its index in the split."""

    split: Text
    sample: Count
    label: Count
    prediction: Count
    n_steps: Positive
    layers: tuple[Raster, ...]


class Correlation(Value):
    """How the firing rates of a layer follow the ANN's activations, neuron by neuron over the samples.

    r: Pearson's, of the converted network, the refined one and the deployed integers; null where there is none, or
    nothing varies. points: some (activation, spikes per timestep) pairs of the latest network that has a number,
    `points_of`.
    """

    layer: Text
    converted: Coefficient | None
    refined: Coefficient | None
    integer: Coefficient | None
    points_of: Literal["converted", "refined", "integer"] | None
    points: tuple[tuple[float, float], ...] = ()


class Heatmap(Value):
    """Unbiased linear CKA between every layer of the ANN, rows, and every layer of a spiking network, columns."""

    rows: tuple[Text, ...]
    columns: tuple[Text, ...]
    values: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _a_number_for_each_pair(self) -> Heatmap:
        if len(self.values) != len(self.rows) or any(len(row) != len(self.columns) for row in self.values):
            raise ValueError(f"CKA: {len(self.values)} rows for {len(self.rows)} x {len(self.columns)} layers")
        return self


class Portrait(Value):
    """What the networks do on `samples` samples of `split`; null or empty where a network was not made."""

    split: Text
    samples: Positive
    rasters: Rasters | None = None
    correlations: tuple[Correlation, ...] = ()
    cka_converted: Heatmap | None = None
    cka_refined: Heatmap | None = None
