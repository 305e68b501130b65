"""A capsule's golden integers computed again, by the simulator, by the second implementation or by real Lava.

Nothing here imports the training code. Torch is imported for the simulator alone, data sets alone where a capsule came
without its inputs.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np

from ...hw import BadInput
from ..toolbox.inputs import first_inputs
from . import independent
from .content import RECIPE, Capsule, as_file, check_inputs
from .golden import Comparison, Golden, compare


class By(StrEnum):
    """Who computes the integers again."""

    simulator = "simulator"
    independent = "independent"
    lava = "lava"


WHAT = {
    By.simulator: "the simulator (torch, on the CPU)",
    By.independent: "the second implementation (numpy alone)",
    By.lava: "real Lava (spikes and read-outs; it counts nothing)",
}


def replay(capsule: Capsule, by: By, *, samples: int | None = None, root: Path | None = None) -> Comparison:
    """Compute the golden samples again and compare every integer with the capsule's.

    samples: so many, from the first; None for all. root: where the data set's files are, for a capsule without inputs.
    Raises BadInput for more samples than there are and data that are not those of the capsule, OracleFailed where Lava
    is asked for and missing.
    """
    there = capsule.document.samples
    count = there if samples is None else samples
    if not 1 <= count <= there:
        raise BadInput(f"{capsule.where}: {count} samples asked for, the capsule has {there}; ask for 1..{there}")
    inputs = capsule.inputs
    if inputs is None:
        inputs = inputs_from_data(capsule, root)
    inputs = first_inputs(inputs, capsule.network, count)
    return compare(capsule.golden.first(count), _run(capsule, by, inputs))


def _run(capsule: Capsule, by: By, inputs: np.ndarray) -> Golden:
    match by:
        case By.independent:
            return independent.run(capsule.network, inputs)
        case By.simulator:
            from . import simulated

            return simulated.run(capsule.network, inputs)
        case By.lava:
            from . import in_lava

            with as_file(capsule.net) as net:
                return in_lava.run(capsule.network, inputs, net)


def inputs_from_data(capsule: Capsule, root: Path | None) -> np.ndarray:
    """The golden inputs of a capsule that came without them, from the data set its recipe names.

    Raises BadInput for data that are missing, and for other data than the capsule was made with.
    """
    from ..data import load_splits
    from ..deploy import payload_for
    from ..recipe import parse, parse_yaml

    where = f"{capsule.where}: {RECIPE}"
    recipe = parse(parse_yaml(capsule.recipe.decode("utf-8", "replace"), where), where)
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"root": root})})
    test = load_splits(recipe).test
    if capsule.document.samples > len(test):
        raise BadInput(f"{capsule.where}: {len(test)} test samples in {recipe.data.name}; give the data of the run")
    payload = payload_for(capsule.network, test, slice(capsule.document.samples)).numpy()
    return check_inputs(payload, capsule.document, capsule.network, f"{recipe.data.name}")
