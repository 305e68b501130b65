"""Asks the peers to count: writes down layers and their inputs, starts `count.py` in the peers' environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spikeport import hw

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("SPIKEPORT_PEERS", HERE.parents[1] / ".peers" / "bin" / "python"))
TIMEOUT_S = 300


class Question:
    """The layers that are to be counted, each with what enters it."""

    def __init__(self) -> None:
        self.layers: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}

    def add(self, name: str, spikes: torch.Tensor, kind: str, **spec: Any) -> None:
        """A layer without weights, or whose weights follow. spikes: (T, B, *shape)."""
        self.layers.append({"name": name, "kind": kind, **spec})
        self.arrays[f"{name}.input"] = spikes.flatten(0, 1).numpy()

    def add_connection(
        self, name: str, spikes: torch.Tensor, connection: hw.Conv | hw.Dense, bias: np.ndarray, **spec: Any
    ) -> None:
        """The layer that a connection is for the peers. bias: of its target, one value or one per channel."""
        if isinstance(connection, hw.Conv):
            fields = {key: getattr(connection, key) for key in ("stride", "padding", "dilation", "groups")}
            self.add(name, spikes, "conv", **fields, **spec)
        else:
            self.add(name, spikes, "dense", **spec)
        self.arrays[f"{name}.weight"] = connection.weight
        self.arrays[f"{name}.bias"] = np.broadcast_to(bias, connection.weight.shape[:1])

    def put(self, folder: Path) -> dict[str, Any]:
        """What `count.py` answers. folder: for the files between."""
        np.savez(folder / "layers.npz", **{"layers.json": np.array(json.dumps(self.layers))}, **self.arrays)
        done = subprocess.run(
            [str(PEERS), str(HERE / "count.py"), str(folder / "layers.npz"), str(folder / "counts.json")],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        return json.loads((folder / "counts.json").read_text())
