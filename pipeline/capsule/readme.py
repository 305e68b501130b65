"""The text a capsule is opened with: what it is, how it is replayed, what equality means, whose data are in it."""

from __future__ import annotations

from textwrap import fill

from .schema import Document


def readme(document: Document) -> str:
    """README.txt."""
    held = document.inputs.file is not None
    command = "spikeport replay THIS.zip" + ("" if held else " --data FOLDER")
    return f"""Replay capsule of {document.recipe}, made by spikeport {document.made_by}

What this is
    A spiking network as a file for Lava and Loihi (network.net), the recipe and the manifests it was made from, and
    what it did with the first {document.samples} test samples: every spike of {len(document.populations)} populations,
    the read-outs and the event counts, at each of {document.network.n_steps} timesteps.

How to replay it, with Spikeport {document.made_by} or a later one that reads format {document.format}
    {command}                  by the simulator: torch on the CPU, no training code
    {command} --independent    by a second implementation in numpy, without torch
    sha256sum --check SHA256SUMS    in the unpacked folder: every member is as it was

What equality means
    The network computes with integers. A replay gives the same spikes, neuron by neuron and timestep by timestep, the
    same read-outs and the same counts, on any machine, or it is not a replay: no tolerance is applied. Nothing is
    trained again. The accuracies below are the run's own, of its whole test set, and rest on its manifests.

Accuracy, as recorded by the run
{_steps(document)}

Members
    capsule.json    what every member is, versions, seeds, hashes of the data and of every population's spikes
    recipe.yaml     everything the run depended on, but for the folders its data lay in
    network.net     the network
    manifests/      one per stage: versions, hashes of what it read and wrote, what it measured
{_inputs(held)}    golden/         spikes (timestep, sample, neuron), eight to a byte; read-outs; counts; C order
    SHA256SUMS      SHA-256 of every other member

Data
    {document.data.name}
{_licences(document)}
{_kept(held)}
"""


def _steps(document: Document) -> str:
    return "\n".join(
        f"    {step.step:<15} {step.accuracy:8.2%}   {step.correct} of {step.n}"
        + (f", on {step.elsewhere}" if step.elsewhere is not None else "")
        for step in document.waterfall
    )


def _licences(document: Document) -> str:
    data = document.data
    lines = [f"{name}: {words}. {data.source[name]}" for name, words in data.licence.items()]
    return "\n".join(fill(line, 116, initial_indent="    ", subsequent_indent="        ") for line in lines)


def _inputs(held: bool) -> str:
    return (
        "    inputs.npy      the samples as the network takes them; binary ones eight values to a byte\n"
        if held
        else ""
    )


def _kept(held: bool) -> str:
    if held:
        return "    The golden inputs are samples of these data and stay under their licence."
    return """    The golden inputs are samples of these data and were left out. A replay takes them from the data set;
    inputs.sha256 in capsule.json tells whether they are the same. Spikes are computed from them, and a
    network that relays its input repeats it there."""
