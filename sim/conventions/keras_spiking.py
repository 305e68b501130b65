"""KerasSpiking's table of devices: one price per synaptic operation and one per neuron update.

The spiking network is priced on a spiking device, event by event; KerasSpiking multiplies a mean input by a dense count
instead. The ANN is one pass on a device that is not spiking.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..constants import Constant, Kind
from ..convention import CONVENTIONS, Convention, Term

_TABLE = "KerasSpiking 0.3.0, model_energy.py"


@dataclass(frozen=True, kw_only=True)
class Device:
    """A row of the table: the price of a synaptic operation and of a neuron update."""

    synop: Constant
    neuron: Constant


def _device(synop: float, neuron: float, source: str, kind: Kind, voltage: float | None, node: int | None) -> Device:
    def constant(value: float, scope: str) -> Constant:
        cited = f"{_TABLE}, after {source}"
        return Constant(value=value, unit="pJ", source=cited, kind=kind, scope=scope, voltage=voltage, node=node)

    return Device(synop=constant(synop, "one synaptic operation"), neuron=constant(neuron, "one neuron update"))


_DEGNAN = "Degnan et al., IEEE TVLSI 24(1) (2015) 58: one MAC"
_HOEPPNER = "Hoeppner et al., IEEE TCAS-I 66(8) (2019) 2973, arXiv 1903.08941"

DEVICES = {
    "cpu": _device(8600.0, 8600.0, f"{_DEGNAN}, Intel i7-4960X", "derived", None, None),
    "gpu": _device(300.0, 300.0, f"{_DEGNAN}, Nvidia GTX Titan Black, large batches", "derived", None, None),
    "arm": _device(900.0, 900.0, f"{_DEGNAN}, ARM Cortex-A", "derived", None, None),
    "loihi": _device(23.6 + 3.5, 81.0, "Davies et al. 2018: 23.6 pJ and a mean hop of 3.5", "derived", 0.75, 14),
    "spinnaker": _device(13_300.0, 26_000.0, _HOEPPNER, "measured", None, None),
    "spinnaker2": _device(450.0, 2190.0, _HOEPPNER, "measured", None, None),
}
"""Energies in pJ. Other tables give SpiNNaker 45 pJ per operation, 300 times less: they count another scope."""


def on_devices(name: str, title: str, snn: Device, ann: Device) -> Convention:
    """The spiking network on one device, the ANN of the same graph on another."""
    return Convention(
        name=name,
        title=title,
        about="synaptic operations and neuron updates on KerasSpiking's devices",
        excluded="spike routing beyond a mean hop, overheads of the device, input and output",
        snn=(Term(count="synops", cost=snn.synop), Term(count="updates", cost=snn.neuron)),
        ann=(Term(count="ann_macs", cost=ann.synop), Term(count="ann_neurons", cost=ann.neuron)),
    )


for _name in ("loihi", "spinnaker", "spinnaker2"):
    CONVENTIONS.register(
        f"keras_spiking_{_name}",
        on_devices(
            f"keras_spiking_{_name}",
            f"KerasSpiking's table: SNN on {_name}, ANN on its default device, a CPU",
            snn=DEVICES[_name],
            ann=DEVICES["cpu"],
        ),
    )
