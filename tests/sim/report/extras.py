"""The parts of the example report that scrutinise its energies, place it on chips and show what it does."""

from __future__ import annotations

from typing import Any

import numpy as np
from spikeport.sim.report import wilson95

CORES = {"conv1": 2, "conv2": 1, "conv3": 2, "readout": 1}
NEURONS = {"conv1": 1024, "conv2": 512, "conv3": 512, "readout": 10}


def scrutiny(snn_pj: float, ann_pj: float, n_steps: int, spikes: dict[str, float]) -> dict[str, Any]:
    """Events, spread, sensitivity, baselines and break-even of a network that costs this much under op_count_fp32."""
    return {
        "events": [
            {
                "side": "snn",
                "what": "spikes",
                "per": "spike sent by a neuron",
                "population": name,
                "source": None,
                "total": total,
                "by_step": [total / n_steps] * n_steps,
            }
            for name, total in spikes.items()
        ],
        "spread": [
            {
                "convention": "op_count_fp32",
                "samples": 360,
                "mean_pj": snn_pj,
                "ci95_pj": [0.98 * snn_pj, 1.02 * snn_pj],
                "p5_pj": 0.7 * snn_pj,
                "median_pj": 0.99 * snn_pj,
                "p95_pj": 1.4 * snn_pj,
                "worst_pj": 1.9 * snn_pj,
                "worst_sample": 123,
                "histogram": {"low_pj": 0.5 * snn_pj, "high_pj": 1.9 * snn_pj, "samples": [40, 160, 110, 40, 10]},
            }
        ],
        "sensitivity": [
            {
                "convention": "op_count_fp32",
                "snn_pj": snn_pj,
                "ratio": ann_pj / snn_pj,
                "swings": [
                    swing("AC", "constant", ("0.45 pJ", "1.8 pJ"), (0.6 * snn_pj, 1.7 * snn_pj), ann_pj),
                    swing("first layer", "choice", ("once", "per_step"), (0.7 * snn_pj, snn_pj), ann_pj),
                ],
            }
        ],
        "baselines": [
            baseline("ann_fp32", "ANN, fp32", None, None, "as trained", 355, ann_pj),
            baseline("ann_int8", "ANN, int8", 8, 8, "quantized after training", 354, ann_pj / 20),
            baseline("ann_matched", "ANN, 8-bit weights, 3-bit activations", 8, 3, "trained 1 epoch", 350, ann_pj / 25),
        ],
        "break_even": {
            "matched_bits": 3,
            "spikes_per_synapse": 0.73,
            "spikes_per_step": 0.15,
            "dense_ratio": n_steps / 3,
            "thresholds": [
                {
                    "what": "spikes per synapse and inference at which an SNN is competitive",
                    "measured": 0.73,
                    "low": 0.15,
                    "high": 1.38,
                    "unit": "spikes per synapse",
                    "source": "Dampfhoffer et al., IEEE TETCI 7(3) (2023) 731",
                }
            ],
            "margins": [
                {"convention": "op_count_fp32", "baseline": "ann_fp32", "factor": 6.2, "spikes_per_synapse": 4.5},
                {"convention": "op_count_fp32", "baseline": "ann_int8", "factor": 0.31, "spikes_per_synapse": 0.23},
                {"convention": "op_count_fp32", "baseline": "ann_matched", "factor": None, "spikes_per_synapse": None},
            ],
        },
    }


def swing(
    what: str, kind: str, settings: tuple[str, str], pj: tuple[float, float], ann_pj: float | None
) -> dict[str, Any]:
    low, high = (None if ann_pj is None else ann_pj / value for value in pj)
    return {
        "what": what,
        "kind": kind,
        "low": settings[0],
        "high": settings[1],
        "low_pj": pj[0],
        "high_pj": pj[1],
        "low_ratio": low,
        "high_ratio": high,
    }


def baseline(
    key: str, title: str, weight_bits: int | None, activation_bits: int | None, how: str, correct: int, pj: float
) -> dict[str, Any]:
    return {
        "key": key,
        "title": title,
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "how": how,
        "score": {"accuracy": correct / 360, "n": 360, "ci95": list(wilson95(correct, 360))},
        "energy_pj": {"op_count_fp32": pj},
    }


def on_chip(chip: str, *, mesh: bool) -> dict[str, Any]:
    """Six cores of 128. mesh: whether hops are known and time and static energy are published."""
    return {
        "chip": chip,
        "rule": "a published compiler",
        "cores": sum(CORES.values()),
        "cores_per_chip": 128,
        "chips": 1,
        "bottleneck": "compartments",
        "shares": {"compartments": 1.0, "words of synaptic memory": 0.4},
        "unknown": [] if mesh else ["input axons"],
        "populations": [
            {
                "name": name,
                "neurons": NEURONS[name],
                "cores": cores,
                "cut": "whole" if cores == 1 else "blocks of 8 channels",
                "bottleneck": "compartments",
                "share": NEURONS[name] / cores / 1024,
            }
            for name, cores in CORES.items()
        ],
        "layout": [
            {"chip": 0, "population": name, "share": NEURONS[name] / cores / 1024}
            for name, cores in CORES.items()
            for _ in range(cores)
        ],
        "traffic": {
            "messages": 2210.5,
            "off_chip": 0.0,
            "hops_ew": 310.25 if mesh else None,
            "hops_ns": 0.0 if mesh else None,
        },
        "times": [
            {
                "constants": "Davies et al. 2018",
                "step_s": 6.1e-6,
                "barrier_s": 1.13e-7,
                "busiest": "conv1",
                "steps": 8,
                "latency_s": 4.88e-5,
                "interval_s": 2.44e-5,
                "scope": "a lower bound: no host, no input and output",
            }
        ]
        if mesh
        else [],
        "energies": [
            {
                "convention": "chip",
                "constants": "Davies et al. 2018",
                "dynamic_pj": 250.0,
                "static_pj": [238_632.0, 5_094_720.0] if mesh else None,
                "source": "Frady et al., NICE 2020",
            }
        ]
        if mesh
        else [],
        "advice": ["conv1: 4 channels less save 1 core"],
    }


def portrait(n_steps: int) -> dict[str, Any]:
    """A raster, correlations and CKA of made-up but deterministic values."""
    rng = np.random.default_rng(3)
    names = ["conv1", "conv2", "conv3", "readout"]

    def heatmap(own: float) -> dict[str, Any]:
        values = np.full((4, 4), 0.3) + (own - 0.3) * np.eye(4)
        return {"rows": names, "columns": names, "values": values.tolist()}

    layers = []
    for name in names[:-1]:
        shown = sorted(rng.choice(NEURONS[name], 40, replace=False).tolist())
        spikes = [(t, row) for t in range(n_steps) for row in range(40) if rng.random() < 0.2]
        layers.append({"population": name, "neurons": NEURONS[name], "shown": shown, "spikes": spikes})
    points = rng.random((60, 2))
    points[:, 1] = 0.8 * points[:, 0] + 0.2 * points[:, 1]
    return {
        "split": "validation",
        "samples": 256,
        "rasters": {
            "split": "validation",
            "sample": 0,
            "label": 6,
            "prediction": 6,
            "n_steps": n_steps,
            "layers": layers,
        },
        "correlations": [
            {
                "layer": name,
                "converted": 0.41,
                "refined": 0.86,
                "integer": 0.85,
                "points_of": "integer",
                "points": points.tolist(),
            }
            for name in names[:-1]
        ],
        "cka_converted": heatmap(0.55),
        "cka_refined": heatmap(0.93),
    }
