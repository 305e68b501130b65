"""The export stage: the integer network becomes a `.net` file, which is read back before anyone relies on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..export import netx
from ..hw import CHIPS, Network, NotRepresentable, check, same
from .artefacts import load_network
from .stage import Stage, StageContext


def run(context: StageContext) -> dict[str, Any]:
    """Check the quantized network against the chip, write `<recipe>.net`, and require that reading gives it back.

    Raises NotRepresentable for numbers the chip or the file cannot hold, UnsupportedLayer for a graph netx cannot.
    """
    network = load_network(context.inputs["quantize"])
    path = context.folder / f"{context.recipe.name}.net"
    write_checked(network, path, context.recipe.quantize.chip)
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "fingerprint": network.fingerprint(),
        "populations": len(network.populations),
    }


def write_checked(network: Network, path: Path, chip: str) -> None:
    """Write a network that `chip` can hold to a `.net` file that reads back as the same network, or raise."""
    check(network, CHIPS[chip])
    netx.write(network, path, chip=CHIPS[chip])
    if not same(netx.read(path), network):
        path.unlink()
        raise NotRepresentable(
            f"{path.name}: the file reads back as another network, so it was removed; please report this network"
        )


def written(folder: Path, results: Any) -> Path:
    """The `.net` file of a finished export stage. results: the stage's metrics."""
    return folder / str(results["file"])


STAGE = Stage(name="export", needs=("quantize",), reads=("name", "quantize"), version=1, run=run)
