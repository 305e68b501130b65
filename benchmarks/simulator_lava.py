"""Time stock Lava on a `.net` file. Run by `simulator.py` with the Python of the Lava environment:

    python simulator_lava.py JOB.json

The job: `net`, `inputs` (.npy, int32, (W, H, C), sent or added at every step), `n_steps`, `payload_bits`, `has_neurons`
(whether the file's input layer does), `runner` (the folder of `export/lava_runner`), `out`. One sample without probes:
a first step builds and compiles, the others are timed. Writes the seconds of one step, and the last layer's `v` after
its last step, so that the other side can be compared with it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np


def main(job_file: str) -> None:
    """Run the job and write its result."""
    job = json.loads(Path(job_file).read_text())
    sys.path.insert(0, job["runner"])
    import shim  # of the runner's folder

    shim.install()
    from lava.lib.dl.netx import hdf5
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.source import RingBuffer

    inputs = np.load(job["inputs"], allow_pickle=False)
    lead = 0 if job["has_neurons"] else 1  # layer i works on step n of the sample at Lava's step n + i + lead
    net = hdf5.Network(
        net_config=job["net"],
        input_message_bits=job["payload_bits"],
        reset_interval=1 << 20,  # once, when each layer begins, to drop what its bias did before
        reset_offset=lead,
    )
    if job["has_neurons"]:
        net.in_layer.neuron.bias_mant.init = inputs
    else:
        RingBuffer(data=inputs[..., None]).s_out.connect(net.inp)
    steps = job["n_steps"] + len(net.layers) - 1 + lead
    config = Loihi2SimCfg(select_tag="fixed_pt")
    net.run(condition=RunSteps(num_steps=1), run_cfg=config, compile_config={"pypy_channel_size": 2})
    start = time.perf_counter()
    net.run(condition=RunSteps(num_steps=steps - 1), run_cfg=config)
    seconds = (time.perf_counter() - start) / (steps - 1)
    v = np.asarray(net.layers[-1].neuron.v.get()).reshape(-1).astype(int).tolist()
    net.stop()
    Path(job["out"]).write_text(json.dumps({"seconds_per_step": seconds, "v": v, "timed_steps": steps - 1}))


if __name__ == "__main__":
    main(sys.argv[1])
