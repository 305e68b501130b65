"""What a file is run on, as the command line says it: an array, random payloads, or images of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..hw import BadInput

if TYPE_CHECKING:
    import numpy as np

    from ..hw import Network
    from .sections import Data, Verify


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a file is to be run on: an array, random payloads, or images of a data set; the last by its run folder.

    inputs: a .npy file. random: so many random samples. samples: so many of whatever it is, from the first. data, root:
    a data set and where its files are. Raises BadInput if several are given.
    """

    file: Path
    inputs: Path | None
    random: int
    seed: int
    samples: int | None
    data: str | None
    root: Path | None

    def __post_init__(self) -> None:
        options = (("--inputs", self.inputs), ("--random", self.random), ("--data", self.data))
        named = [option for option, given in options if given]
        if len(named) > 1:
            raise BadInput(f"{' and '.join(named)} both say what to run on; give one of them")

    def own_array(self, network: Network) -> np.ndarray | None:
        """The array given by --inputs or --random; None if images are asked for, or nothing."""
        from .toolbox.inputs import first_inputs

        given, _ = given_inputs(network, self.inputs, self.random, self.seed)
        if given is None or self.samples is None:
            return given
        return first_inputs(given, network, self.samples)

    def images(self) -> tuple[Data, Verify] | None:
        """The data set named, or that of the run the file lies in, and that run's settings; None if there is none."""
        from .recipe import parse
        from .runs import read_recipe
        from .sections import Data, Verify

        given: Data | None = None
        settings = Verify()
        run = self.file.parent.parent
        if self.data is not None:
            given = Data(name=self.data, root=self.root)
        elif (run / "run.json").is_file():
            whole = parse(read_recipe(run), f"recipe of {run}")
            settings = whole.verify
            given = whole.data if self.root is None else whole.data.model_copy(update={"root": self.root})
        if self.samples is not None:
            settings = settings.model_copy(update={"samples": self.samples})
        return None if given is None else (given, settings)

    def array(self, network: Network) -> np.ndarray:
        """Inputs whatever they are from. Raises BadInput if nothing says what they are."""
        from .deploy import payload_for
        from .verify import images_for

        given = self.own_array(network)
        if given is not None:
            return given
        images = self.images()
        if images is None:
            raise BadInput(
                f"{self.file} lies in no run folder; say what to run it on: --inputs FILE.npy, --random 8, or --data "
                "digits (see `spikeport datasets`)"
            )
        test, count = images_for(self.file, network, images[0]), images[1].samples
        if count > len(test):
            raise BadInput(f"--samples {count}: there are {len(test)} test images; ask for fewer")
        return payload_for(network, test.subset(slice(count))).numpy()


def given_inputs(network: Network, inputs: Path | None, random: int, seed: int) -> tuple[np.ndarray | None, str]:
    """Inputs from a file, or random ones, and where they are from."""
    from .toolbox.inputs import random_inputs, read_inputs

    if inputs is not None:
        return read_inputs(inputs, network), str(inputs)
    return (random_inputs(network, random, seed), f"random payloads, seed {seed}") if random else (None, "")
