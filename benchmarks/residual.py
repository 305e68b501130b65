"""Does a trained CIFAR-10 ResNet-20 compute in real Lava what the simulator says, as a chain and as a graph?

    python benchmarks/residual.py runs/cifar10-resnet20-<hash> [--samples 4]

Takes the quantized network of a finished run of recipes/cifar10-resnet20.yaml. The graph is lowered to the chain that a
stock `.net` file holds, shortcuts as relay channels, and that file is run in real Lava with its own convolution; the
graph itself is built from Lava processes, shortcuts as connections. Every u, v and spike of every population of both is
compared with the simulator, and the two read-outs with each other. The result is benchmarks/results/residual.json.
"""

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path

import numpy as np
from spikeport import sim
from spikeport.export import lava, lava_graph, netx
from spikeport.hw import CHIPS, Network
from spikeport.pipeline.artefacts import load_network
from spikeport.pipeline.data import load_splits
from spikeport.pipeline.deploy import payload_for, proven_chain
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.runs import read_recipe

TIMEOUT_S = 3600.0


def compared(network: Network, trace: lava.LavaTrace, payload) -> dict:
    """A Lava trace against the simulator, number by number."""
    ours = sim.run(network, payload, record=("u", "v", "spikes"))
    expected = {
        name: {"u": ours.u[name].numpy(), "v": ours.v[name].numpy(), "spikes": ours.spikes[name].numpy()}
        for name in trace.v
    }
    verdict = lava.compare(trace, expected)
    return {
        "layers_written": verdict.layers_written,
        "layers_built": verdict.layers_built,
        "values": verdict.values,
        "mismatches": verdict.mismatches,
        "first_mismatch": str(verdict.first) if verdict.first else None,
        "lava_seconds": trace.seconds,
    }


def main() -> None:
    """Run both forms and write the result file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=4)
    options = parser.parse_args()
    recipe = parse(read_recipe(options.run))
    test = load_splits(recipe).test
    graph = load_network(options.run / "quantize")
    payload = payload_for(graph, test.subset(slice(options.samples)))
    chain, rewrites = proven_chain(graph, payload, CHIPS[recipe.quantize.chip])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet20.net"
        netx.write(chain, path)
        as_chain = lava.run(path, payload.numpy(), network=chain, timeout_s=TIMEOUT_S)
        size = path.stat().st_size
    as_graph = lava_graph.run(payload.numpy(), network=graph, timeout_s=TIMEOUT_S)
    readout = graph.readout.population
    result = {
        "question": "mismatches of a trained residual network between real Lava and the simulator",
        "run": options.run.name,
        "samples": options.samples,
        "n_steps": graph.n_steps,
        "chain": {"file_bytes": size, **compared(chain, as_chain, payload)},
        "graph": compared(graph, as_graph, payload),
        "readouts_equal": bool(np.array_equal(as_chain.v[readout], as_graph.v[readout])),
        "rewrites": [str(rewrite) for rewrite in rewrites],
        "lava": dict(as_chain.versions),
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "recipe": recipe.model_dump(mode="json"),
        "script": Path(__file__).read_text(),
    }
    out = Path(__file__).parent / "results" / "residual.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: result[key] for key in ("chain", "graph", "readouts_equal")}, indent=1))


if __name__ == "__main__":
    main()
