"""One process per layer that writes what the layer does, step by step, into memory-mapped files.

The directory holds this file alone: when Lava looks for the model of a process it executes every Python file beside it.
Reading a variable through Lava's own `get` costs about 19 us per element; writing in the child costs almost nothing.
"""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, RefPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class LayerProbe(AbstractProcess):
    """Records current, membrane potential and spikes of one layer.

    shape: the layer's shape in Lava's order (W, H, C) or (F,). files: paths of the arrays `u`, `v`, `spikes`, each of
    shape (n_steps, n_samples, *shape), existing. first_step: Lava's time step (from 1) of local step 1 of sample 0.
    period: Lava's time steps from one sample to the next, n_steps or more.
    """

    def __init__(self, *, shape: tuple[int, ...], files: dict[str, str], first_step: int, period: int) -> None:
        super().__init__(shape=shape, files=files, first_step=first_step, period=period)
        self.u = RefPort(shape=shape)
        self.v = RefPort(shape=shape)
        self.spikes = InPort(shape=shape)


@implements(proc=LayerProbe, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLayerProbe(PyLoihiProcessModel):
    """Runs in a child process; the files are opened there."""

    u: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int32)
    v: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int32)
    spikes: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: dict) -> None:
        super().__init__(proc_params)
        self.first_step, self.period = proc_params["first_step"], proc_params["period"]
        self.records = {name: np.load(path, mmap_mode="r+") for name, path in proc_params["files"].items()}

    def run_spk(self) -> None:
        """Take this step's spikes."""
        self._record("spikes", self.spikes.recv())

    def post_guard(self) -> bool:
        """Ask for the management phase after every step."""
        return True

    def run_post_mgmt(self) -> None:
        """Read the registers after the step."""
        self._record("u", self.u.read())
        self._record("v", self.v.read())

    def _record(self, name: str, values: np.ndarray) -> None:
        record = self.records[name]
        n_steps, n_samples = record.shape[:2]
        sample, step = divmod(self.time_step - self.first_step, self.period)
        if 0 <= sample < n_samples and step < n_steps:
            record[step, sample] = values
