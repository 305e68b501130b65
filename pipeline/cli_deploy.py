"""`spikeport deploy`: a trained network of any framework to a `.net` file, checked and explained."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .cli_common import ChipName, Quiet, say, table, told
from .cli_run import exit_unless_agreed, lava_verdict

if TYPE_CHECKING:
    from ..export.nir_neurons import Reset as NirReset


class Reset(StrEnum):
    """What to do with a network that resets by subtracting its threshold."""

    original = "original"
    hard = "hard"


class OriginalReset(StrEnum):
    """How the neurons of the original reset (`export.nir_neurons.Reset`)."""

    auto = "auto"
    to_value = "value"
    subtract = "subtract"
    late_subtract = "late-subtract"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(deploy)


def deploy(
    file: Annotated[Path, typer.Argument(metavar="FILE.nir|FILE.onnx", help="The trained network.")],
    calib: Annotated[
        str, typer.Option("--calib", help="A data set (`spikeport datasets`), or inputs: x.npy, or .npz with x and y.")
    ],
    chip: ChipName = "loihi2",
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Timesteps of a sample.")] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Samples to calibrate on.")] = 128,
    test: Annotated[int, typer.Option("--test", min=1, help="Other samples to test on, at most.")] = 1000,
    dt: Annotated[float | None, typer.Option("--dt", help="Timestep of a NIR file in seconds.")] = None,
    framework: Annotated[str, typer.Option("--framework", help="Which framework wrote a NIR file.")] = "auto",
    original_reset: Annotated[
        OriginalReset, typer.Option("--original-reset", help="How the original resets, where NIR does not say.")
    ] = OriginalReset.auto,
    reset: Annotated[
        Reset, typer.Option("--reset", help="`hard` accepts a reset to 0 for a network that subtracts its threshold.")
    ] = Reset.original,
    payload_bits: Annotated[
        int | None, typer.Option("--payload-bits", min=1, max=16, help="Bits of inputs that are not spikes.")
    ] = None,
    root: Annotated[Path | None, typer.Option("--root", help="Where a data set's files are.")] = None,
    lava_samples: Annotated[
        int, typer.Option("--lava-samples", min=0, help="Samples to run in real Lava, if it is installed.")
    ] = 4,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the file and its report.")] = None,
    quiet: Quiet = False,
) -> None:
    """Quantize somebody's trained network, write it as a .net file, verify it, and report what changed."""
    with told():
        from .adopt.deploy import Request
        from .adopt.deploy import deploy as run
        from .progress import Progress

        request = Request(
            file=file,
            data=calib,
            chip=chip,
            n_steps=steps,
            samples=samples,
            test=test,
            dt_s=dt,
            framework=framework,
            original_reset=cast("NirReset", original_reset.value),
            hard_reset=reset is Reset.hard,
            payload_bits=payload_bits,
            root=root,
            lava_samples=lava_samples,
        )
        folder = out or Path("deployed") / file.stem
        document = run(request, folder, Progress(quiet=quiet))
        _show(document, folder)
    exit_unless_agreed(document["verification"])
    if document["test"]["overflows"]:
        raise typer.Exit(1)


def _show(document: dict[str, Any], folder: Path) -> None:
    from .adopt.deploy_report import share

    for line in dict.fromkeys(document["assumed"]):
        say(f"assumed: {line}")
    rows = [
        (
            row["name"],
            f"{row['agreement']:.2%}",
            f"{row['common']:.2%}",
            f"{row['spikes_per_step']:.3f}",
            str(row["v_th_mant"]),
            row["limit"],
        )
        for row in document["quantization"]["populations"]
    ]
    if rows:
        table("populations", ("population", "agreement", "common spikes", "spikes / step", "threshold", "limit"), rows)
    test = document["test"]
    say(f"answers as the original, on {test['on']}: {share(test['alike'])}")
    if "float" in test:
        say(f"accuracy: original {share(test['float'])}, file {share(test['integer'])}")
    if test["overflows"]:
        say(
            f"{test['overflows']} synaptic sums left their accumulators on {test['on']}, where the chip would compute "
            "something else: calibrate on more samples (--samples), or scale the network down"
        )
    say(lava_verdict(document["verification"]))
    say(f"wrote {folder / document['net']['file']}, deploy.json, deploy.md")
