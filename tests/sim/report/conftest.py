"""A plausible report of the digits run, built from counts so that every derived number is derived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from spikeport.sim.report import Report, html, parse, wilson95

from . import extras

N_STEPS = 4
COUNTED = 360
# name, kind, neurons, synapses (edge-exact), spikes, synops, effective synops: means per sample; the first is graded.
LAYERS = [
    ("conv1", "conv", 1024, 7744, 611.4, 15_672.5, 15_212.25),
    ("conv2", "conv", 512, 61_952, 388.125, 36_410.75, 33_871.5),
    ("conv3", "conv", 512, 123_904, 297.5, 91_227.0, 84_004.125),
    ("readout", "dense", 10, 5120, 0.0, 2975.0, 2931.5),
]
CONSTANTS = {"op_count_fp32": (4.6, 0.9), "op_count_int8": (0.23, 0.03)}
SOURCE = "Horowitz, ISSCC 2014, table of operation energies, 45 nm, 0.9 V"
CORRECT = {
    "ann": 355,
    "converted_soft": 347,
    "converted_hard": 142,
    "refined": 354,
    "integer": 353,
    "netx": 353,
}


def score(correct: int, n: int) -> dict[str, Any]:
    return {"accuracy": correct / n, "n": n, "ci95": list(wilson95(correct, n))}


def layer_rows() -> list[dict[str, Any]]:
    rows = []
    for name, kind, neurons, synapses, spikes, synops, effective in LAYERS:
        is_mac = name == "conv1"
        rows.append(
            {
                "name": name,
                "kind": kind,
                "neurons": neurons,
                "synapses": synapses,
                "spikes": spikes,
                "spikes_per_neuron": spikes / neurons,
                "spikes_per_step": spikes / neurons / N_STEPS,
                "synops": synops,
                "synops_effective": effective,
                "dense_macs": synapses,
                "is_mac": is_mac,
                "energy_pj": {c: synops * (mac if is_mac else ac) for c, (mac, ac) in CONSTANTS.items()},
            }
        )
    return rows


def energy_rows(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for convention, (mac, ac) in CONSTANTS.items():
        snn = sum(layer["energy_pj"][convention] for layer in layers)
        ann = mac * sum(layer["dense_macs"] for layer in layers)
        rows.append(
            {
                "convention": convention,
                "mac_pj": mac,
                "ac_pj": ac,
                "source": SOURCE,
                "snn_pj": snn,
                "ann_pj": ann,
                "ratio": ann / snn,
                "first_layer": "per_step",
                "synops": "stored",
            }
        )
    return rows


def convention_rows(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first detailed convention again, with its bill, and one that defines no ANN."""
    energy = energy_rows(layers)[0]
    macs, acs = (sum(row["synops"] for row in layers if row["is_mac"] == is_mac) for is_mac in (True, False))
    dense = sum(row["dense_macs"] for row in layers)
    items = [
        {"side": "snn", "what": "AC", "events": acs, "unit_pj": 0.9, "pj": acs * 0.9},
        {"side": "snn", "what": "MAC", "events": macs, "unit_pj": 4.6, "pj": macs * 4.6},
        {"side": "ann", "what": "MAC of the ANN", "events": dense, "unit_pj": 4.6, "pj": dense * 4.6},
    ]
    kept = {key: energy[key] for key in ("convention", "snn_pj", "ann_pj", "ratio")}
    chip = {"side": "snn", "what": "weight read", "events": 10.0, "unit_pj": None, "pj": 250.0}
    return [
        {**kept, "title": "operation counts", "scope": "excluded: memory", "items": items},
        {
            "convention": "chip",
            "title": "a chip",
            "snn_pj": 250.0,
            "ann_pj": None,
            "ratio": None,
            "scope": "excluded: static power",
            "items": [chip],
        },
    ]


def network_facts() -> dict[str, Any]:
    shapes = {"input": [1, 8, 8], "conv1": [16, 8, 8], "conv2": [32, 4, 4], "conv3": [32, 4, 4], "readout": [10]}
    neuron = {"v_decay": 128, "i_decay": 4096, "v_th_mant": 1842}
    source = {"v_decay": None, "i_decay": None, "v_th_mant": None}
    sizes = {"input": 64, "conv1": 1024, "conv2": 512, "conv3": 512, "readout": 10}
    populations = [
        {"name": name, "shape": shape, "neurons": sizes[name], **(source if name == "input" else neuron)}
        for name, shape in shapes.items()
    ]
    populations[-1]["v_th_mant"] = 131_071
    return {
        "n_steps": N_STEPS,
        "payload_bits": 4,
        "chip": "loihi2",
        "populations": populations,
        "synapses": sum(layer[3] for layer in LAYERS),
        "fingerprint": "9f2c51d07ab84e3396d1f0c2b7a5e8134d6690acbb12ef7785c3d4e09a61b7f2",
    }


def example() -> dict[str, Any]:
    layers = layer_rows()
    notes = {"ann": "held-out test set", "converted_soft": "IF neurons, 99.9 % norm", "netx": "digits.net, simulator"}
    waterfall = [{"step": s, **score(k, 360), "note": notes.get(s, "")} for s, k in CORRECT.items()]
    waterfall.append({"step": "lava", **score(63, 64), "note": "first 64 test images"})
    return {
        "schema_version": 1,
        "recipe": "digits",
        "created": "2026-03-14T15:09:26Z",
        "versions": {"spikeport": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "lava-nc": "0.9.0"},
        "seed": 7,
        "data": {"name": "digits", "train": 1149, "validation": 288, "test": 360, "licence": "BSD-3-Clause"},
        "network": network_facts(),
        "waterfall": waterfall,
        "skipped": {},
        "lava": {"samples": 64, "layers_written": 5, "layers_built": 5, "mismatches": 0, "values": 1_053_696},
        "counted_samples": COUNTED,
        "layers": layers,
        "energy": energy_rows(layers),
        "scope": "arithmetic of synaptic operations only; excluded: neuron updates and biases, memory access, spike "
        "routing, input and output, static power",
        "conventions": convention_rows(layers),
        "conflicts": ["the SNN costs less than the ANN under op_count_fp32, and more under another"],
        "audits": [
            {
                "convention": "op_count_fp32",
                "usual_pj": 150_000.0,
                "steps": [{"what": "neuron updates", "pj": 60_000.0}, {"what": "events counted", "pj": -2000.0}],
                "audited_pj": 208_000.0,
                "ann_usual_pj": 930_000.0,
            }
        ],
        "neurobench": {
            "effective_macs": 15_212.25,
            "effective_acs": 120_807.125,
            "dense": 794_880,
            "footprint_bytes": 33_000,
            "connection_sparsity": 0.07,
            "activation_sparsity": 0.842,
        },
        **extras.scrutiny(
            energy_rows(layers)[0]["snn_pj"],
            energy_rows(layers)[0]["ann_pj"],
            N_STEPS,
            {row[0]: row[4] for row in LAYERS},
        ),
        "on_chip": [extras.on_chip("loihi1", mesh=True), extras.on_chip("loihi2", mesh=False)],
        "refusals": [{"chip": "tiny", "why": "conv3: 5120 words of synaptic memory exceed tiny's 1024 per core"}],
        "portrait": extras.portrait(N_STEPS),
        "drift": [
            {"layer": "conv1", "drift": 0.0831, "weight": 0.1127},
            {"layer": "conv2", "drift": 0.2415, "weight": 0.3276},
            {"layer": "conv3", "drift": 0.4126, "weight": 0.5597},
        ],
        "timesteps": [
            {"T": 1, "converted_soft": score(201, 360), "converted_hard": score(58, 360), "refined": None},
            {"T": 2, "converted_soft": score(310, 360), "converted_hard": score(77, 360), "refined": score(346, 360)},
            {"T": 4, "converted_soft": score(347, 360), "converted_hard": score(142, 360), "refined": score(354, 360)},
            {"T": 8, "converted_soft": score(353, 360), "converted_hard": score(205, 360), "refined": None},
        ],
        "notices": [
            {"layer": "conv1", "what": "folded", "why": "batch norm is not on the chip; it joins the weights",
             "way_out": ""},
            {"layer": "conv3", "what": "clipped", "why": "3 of 9216 weights beyond -256..254",
             "way_out": "train with a smaller weight range"},
        ],
        "commands": ["spikeport run recipes/digits.yaml", "spikeport verify runs/digits/export/digits.net"],
    }  # fmt: skip


def without_lava(values: dict[str, Any], reason: str = "its environment is not installed") -> dict[str, Any]:
    values["waterfall"] = [step for step in values["waterfall"] if step["step"] != "lava"]
    return {**values, "lava": None, "skipped": {"lava": reason}}


@pytest.fixture
def values() -> dict[str, Any]:
    """A fresh report.json as plain values, to be changed at will."""
    return example()


@pytest.fixture(scope="session")
def make_values() -> Callable[[], dict[str, Any]]:
    """Makes fresh plain values, for tests that need many."""
    return example


@pytest.fixture
def report(values: dict[str, Any]) -> Report:
    return parse(values)


@pytest.fixture(scope="session")
def page_text() -> str:
    """report.html of the example, drawn once: the figures take most of a second."""
    return html.render(parse(example()))


@pytest.fixture
def lavaless() -> Callable[..., dict[str, Any]]:
    """Takes Lava out of plain values: `lavaless(values, reason)`."""
    return without_lava
