"""The report stage: what all stages measured, as one validated report in four files."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import yaml

from .. import sim
from ..export import netx
from ..hw import Conv, Network, Population, Source
from ..models.datasets import DATASETS
from ..sim import report
from .data import load_splits
from .deploy import written
from .energy import DETAILED, FILE
from .files import read_json, write_bytes
from .portrait.stage import load_portrait
from .runs import versions
from .sections import Recipe
from .simulate import load_counts
from .stage import Stage, StageContext

RECIPE = "recipe.yaml"

Results = Mapping[str, Mapping[str, Any]]


def run(context: StageContext) -> dict[str, Any]:
    """Write report.json, report.md, report.tex and report.html, and the whole recipe as recipe.yaml."""
    recipe, results = context.recipe, context.results
    path = written(context.inputs["export"], results["export"])
    network = netx.read(path)
    counts = load_counts(context.inputs["simulate"], network)
    energy = read_json(context.inputs["energy"] / FILE, "run `spikeport energy` again")
    every = [energy["prices"][i] for i in energy["chosen"]]
    prices = [price for price in every if price["convention"]["name"] in DETAILED]
    splits = load_splits(recipe)
    lava = results["verify"]
    value = report.parse(
        {
            "recipe": recipe.name,
            "created": datetime.datetime.now(datetime.UTC),
            "versions": {**versions(), **lava.get("versions", {})},
            "seed": recipe.seed,
            "data": {
                "name": data_name(recipe),
                "train": len(splits.train),
                "validation": len(splits.validation),
                "test": len(splits.test),
                "licence": DATASETS[recipe.data.name].licence,
            },
            "network": network_facts(network, recipe.quantize.chip),
            "waterfall": waterfall(recipe, results),
            "skipped": skipped(results),
            "lava": None if "skipped" in lava else {key: lava[key] for key in report.LavaCheck.model_fields},
            "counted_samples": counts.n_samples,
            "layers": layers(network, counts, prices),
            "energy": [energy_row(price) for price in prices],
            "scope": "\n".join(price["scope"] for price in prices),
            "conventions": [convention_row(price) for price in every],
            "conflicts": energy["conflicts"],
            "audits": energy["audits"],
            "neurobench": energy["neurobench"],
            **{key: energy[key] for key in ("events", "spread", "sensitivity", "break_even", "on_chip", "refusals")},
            "baselines": baselines(energy["baseline_energies"], results["baselines"], network.n_steps),
            "portrait": load_portrait(context.inputs["portrait"]),
            "drift": results["refine"].get("drift", []),
            "timesteps": timesteps(results),
            "anytime": [{**row, "chosen": row["T"] == network.n_steps} for row in results["export"]["anytime"]],
            "notices": [notice for metrics in results.values() for notice in metrics.get("notices", [])],
            "commands": [
                f"spikeport run {RECIPE}  # the whole recipe, beside this report",
                f"spikeport verify {context.inputs['export'] / path.name}",
            ],
        },
        "report",
    )
    write_bytes(context.folder / RECIPE, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).encode())
    return {"files": [RECIPE, *(file.name for file in report.write(value, context.folder))]}


def data_name(recipe: Recipe) -> str:
    """The data set; simulated events are called what they are."""
    data = recipe.data
    synthetic = data.frames is not None and DATASETS[data.name].recordings is None
    return f"{data.name}, synthetic events of simulated saccades" if synthetic else data.name


def waterfall(recipe: Recipe, results: Results) -> list[dict[str, Any]]:
    """Accuracy at each step on the test set; Lava's on the images it ran. A step that was not run is left out.

    An ANN of still images was tested on theirs, as its note says.
    """
    T, shipped, convert = recipe.refine.T, results["export"]["n_steps"], results["convert"]
    ann = "the trained ANN, fp32"
    if recipe.data.stills is not None:
        ann = f"the teacher, fp32, on the test images of {recipe.data.stills.name}"
    elif recipe.data.frames is not None:
        ann += ", on the mean of a clip's frames"
    steps = [("ann", results["train"]["test"], ann)]
    if "skipped" not in convert:
        steps += [
            ("converted_soft", convert["soft"], f"integrate and fire, soft reset, T = {T}"),
            ("converted_hard", convert["hard"], f"the same weights, the chip's hard reset, T = {T}"),
        ]
    steps += [
        ("refined", results["refine"]["test"], f"{recipe.refine.method}, profile {recipe.refine.profile}, T = {T}"),
        ("integer", results["quantize"]["test"], f"{recipe.quantize.chip} integers, as trained"),
        ("netx", results["simulate"]["test"], f"the .net file read back, simulated bit for bit, T = {shipped}"),
    ]
    if "test" in results["verify"]:
        steps.append(("lava", results["verify"]["test"], "the .net file in real Lava, first test images"))
    stills = recipe.data.stills
    elsewhere = {"ann": stills.name} if stills is not None else {}
    return [{"step": step, "note": note, "elsewhere": elsewhere.get(step), **score} for step, score, note in steps]


def skipped(results: Results) -> dict[str, str]:
    """Why a step of the waterfall was not run."""
    steps = {"convert": ("converted_soft", "converted_hard"), "verify": ("lava",)}
    reasons = {stage: results[stage]["skipped"] for stage in steps if "skipped" in results[stage]}
    return {step: reason for stage, reason in reasons.items() for step in steps[stage]}


def network_facts(network: Network, chip: str) -> dict[str, Any]:
    """What was deployed."""
    source = network.sources[0].neuron
    assert isinstance(source, Source)
    return {
        "n_steps": network.n_steps,
        "payload_bits": source.payload_bits,
        "chip": chip,
        "populations": [_population(population) for population in network.populations],
        "synapses": sum(sim.n_synapses(network).values()),
        "fingerprint": network.fingerprint(),
    }


def _population(population: Population) -> dict[str, Any]:
    neuron = population.neuron
    computes = not isinstance(neuron, Source)
    return {
        "name": population.name,
        "shape": population.shape,
        "neurons": population.size,
        "v_decay": neuron.v_decay if computes else None,
        "i_decay": neuron.i_decay if computes else None,
        "v_th_mant": neuron.v_th_mant if computes else None,
    }


def layers(network: Network, counts: sim.Counts, prices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per population that computes, with its incoming connections.

    Where a population gets graded and binary spikes it has two rows; its neurons and spikes stand in the first.
    """
    rows = []
    for population, _ in network.neurons:
        incoming = network.incoming(population.name)
        for is_mac in (True, False):
            sources = {c.source for c in incoming if sim.is_graded(network, c.source) == is_mac}
            if sources:
                first = not (rows and rows[-1]["name"].startswith(f"{population.name} ("))
                mixed = len({sim.is_graded(network, c.source) for c in incoming}) == 2
                name = f"{population.name} ({'MAC' if is_mac else 'AC'})" if mixed else population.name
                rows.append(_layer(name, population, sources, is_mac, first, network, counts, prices))
    return rows


def _layer(
    name: str,
    population: Population,
    sources: set[str],
    is_mac: bool,
    first: bool,
    network: Network,
    counts: sim.Counts,
    prices: list[dict[str, Any]],
) -> dict[str, Any]:
    """One row; `sources` says which incoming connections it covers, `first` whether it holds the neurons."""
    pairs = [(source, population.name) for source in sorted(sources)]
    kinds = {type(c) for c in network.incoming(population.name) if c.source in sources}
    neurons = population.size if first else 0
    spikes = counts.spikes_per_sample()[population.name] if first else 0.0
    stored, effective = counts.synops_per_sample(), counts.synops_per_sample(effective=True)
    per_neuron = spikes / neurons if neurons else 0.0

    def total(price: dict[str, Any], field: str) -> Any:
        return sum(row[field] for row in price["connections"] if (row["source"], row["target"]) in pairs)

    return {
        "name": name,
        "kind": "conv" if Conv in kinds else "dense",
        "neurons": neurons,
        "synapses": total(prices[0], "n_synapses"),
        "spikes": spikes,
        "spikes_per_neuron": per_neuron,
        "spikes_per_step": per_neuron / network.n_steps,
        "synops": sum(stored[pair] for pair in pairs),
        "synops_effective": sum(effective[pair] for pair in pairs),
        "dense_macs": total(prices[0], "dense_macs"),
        "is_mac": is_mac,
        "energy_pj": {price["convention"]["name"]: total(price, "snn_pj") for price in prices},
    }


def energy_row(price: dict[str, Any]) -> dict[str, Any]:
    """The totals of one operation-count convention."""
    ac, mac = (_constant(price, count) for count in ("acs", "graded_macs"))
    return {
        "convention": price["convention"]["name"],
        "mac_pj": mac["value"],
        "ac_pj": ac["value"],
        "source": f"AC: {ac['source']}; MAC: {mac['source']}",
        "snn_pj": price["snn_pj"],
        "ann_pj": price["ann_pj"],
        "ratio": price["ratio"],
        "first_layer": price["choices"]["first_layer"],
        "synops": price["choices"]["synops"],
    }


def _constant(price: dict[str, Any], count: str) -> dict[str, Any]:
    return next(term["cost"] for term in price["convention"]["snn"] if term["count"] == count)


def baselines(
    energies: Mapping[str, Mapping[str, float]], measured: Mapping[str, Any], n_steps: int
) -> list[dict[str, Any]]:
    """The ANNs of the same graph: what each costs, and how accurate it is where the baselines stage made it."""
    bits = sim.matched_bits(n_steps)
    titles = {
        "ann_fp32": ("ANN, fp32", None, None),
        "ann_int8": ("ANN, int8", 8, 8),
        "ann_matched": (f"ANN, 8-bit weights, {bits}-bit activations", 8, bits),
        "ann_int32": ("ANN, int32", 32, 32),
    }
    rows = []
    for key, by_convention in energies.items():
        title, weights, activations = titles[key]
        unmeasured = {
            "title": title,
            "weight_bits": weights,
            "activation_bits": activations,
            "how": f"not trained: {measured.get('skipped', 'priced alone')}",
            "score": None,
        }
        rows.append({"key": key, **measured.get(key, unmeasured), "energy_pj": by_convention})
    return rows


def convention_row(price: dict[str, Any]) -> dict[str, Any]:
    """One convention's totals and its bill: the lines of all layers added up, per mean sample."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for item in price["items"]:
        line = lines.setdefault((item["side"], item["what"]), {"events": 0.0, "pj": 0.0, "units": set()})
        line["events"] += item["events"] / price["n_samples"]
        line["pj"] += item["pj"]
        line["units"].add(item["unit_pj"])
    return {
        "convention": price["convention"]["name"],
        "title": price["convention"]["title"],
        "snn_pj": price["snn_pj"],
        "ann_pj": price["ann_pj"],
        "ratio": price["ratio"],
        "scope": price["scope"],
        "items": [
            {
                "side": side,
                "what": what,
                "events": line["events"],
                "unit_pj": line["units"].pop() if len(line["units"]) == 1 else None,
                "pj": line["pj"],
            }
            for (side, what), line in lines.items()
        ],
    }


def timesteps(results: Results) -> list[dict[str, Any]]:
    """Validation accuracy by number of timesteps: converted with both resets, and refined where it was trained."""
    names = {"soft": "converted_soft", "hard": "converted_hard", "refined": "refined"}
    rows: dict[int, dict[str, Any]] = {}
    for row in [*results["convert"].get("by_T", []), *results["refine"].get("by_T", [])]:
        known = {names[key]: score for key, score in row.items() if key in names}
        rows.setdefault(row["T"], {"T": row["T"], "split": "validation"}).update(known)
    return [rows[T] for T in sorted(rows)]


STAGE = Stage(
    name="report",
    needs=("train", "convert", "refine", "quantize", "export", "simulate", "verify", "baselines", "portrait", "energy"),
    reads=("name", "seed", "data", "model", "refine", "quantize", "energy", "report"),
    version=4,
    run=run,
)
