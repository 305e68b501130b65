"""Commands on network files, none of which needs Lava: inspect, diff, verify, record, convert.

`verify` and `convert` are stages of a recipe too; what follows them decides: a .net or .nir file, or a recipe.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..hw import CHIPS, BadInput, Chip
from .cli_common import ChipName, Json, Layers, More, Out, PayloadBits, Quiet, Settings, Steps, say, say_json, told
from .cli_inputs import Chosen, given_inputs
from .cli_run import CONTINUE, exit_unless_agreed, finish, lava_verdict

if TYPE_CHECKING:
    from .toolbox.opening import Reading

File = Annotated[Path, typer.Argument(metavar="FILE", help="A .net file, or a .nir file of ours.")]
Inputs = Annotated[
    Path | None, typer.Option("--inputs", help="Inputs: a .npy array of integers, (B, *shape) or (T, B, *shape).")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random inputs.")]
DataName = Annotated[str | None, typer.Option("--data", help="Data set, for a file outside a run folder.")]
Root = Annotated[Path | None, typer.Option("--root", help="Where that data set's files are.")]
Samples = Annotated[int | None, typer.Option("--samples", min=1, help="So many samples, from the first.")]

FILES = (".net", ".nir")
TRACES = (".npz", ".h5", ".hdf5")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (inspect, diff, verify, record, convert):
        app.command()(command)


def inspect(
    file: File,
    chip: ChipName = "loihi2",
    steps: Steps = None,
    payload_bits: PayloadBits = None,
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Show what a file holds, layer by layer: sizes, weights, neurons, memory, limits of a chip."""
    with told():
        from .cli_show import show_inspection
        from .toolbox import documents
        from .toolbox.inspect import inspect as look

        inspection = look(file, CHIPS[chip], _reading(steps, payload_bits, layers))
        if as_json:
            say_json(documents.of_inspection(inspection))
        else:
            show_inspection(inspection)


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A .net or .nir file.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    inputs: Inputs = None,
    random: Annotated[int, typer.Option("--random", min=0, help="Run so many random samples; 0 runs nothing.")] = 4,
    seed: Seed = 0,
    steps: Steps = None,
    payload_bits: PayloadBits = None,
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Compare two files: structure, parameters, weights, and where their behaviour parts. Exit 1 if they differ."""
    with told():
        from .cli_show import show_difference
        from .toolbox import documents
        from .toolbox.diff import diff as compare
        from .toolbox.opening import open_network

        reading = _reading(steps, payload_bits, layers)
        left, right = (open_network(path, reading) for path in (a, b))
        given, origin = given_inputs(left, inputs, random, seed)
        difference = compare(left, right, given, origin)
        if as_json:
            say_json(documents.of_difference(difference, str(a), str(b)))
        else:
            show_difference(difference, str(a), str(b))
        if not difference.equal:
            raise typer.Exit(1)


def verify(
    target: Annotated[Path, typer.Argument(metavar="FILE|RECIPE", help="A .net or .nir file, or a recipe.")],
    more: More = None,
    against: Annotated[
        str, typer.Option("--against", help="lava, a recorded trace (.npz, .h5), or another .net or .nir file.")
    ] = "lava",
    inputs: Inputs = None,
    random: Annotated[int, typer.Option("--random", min=0, help="Run so many random samples.")] = 0,
    seed: Seed = 0,
    samples: Samples = None,
    data: DataName = None,
    root: Root = None,
    steps: Steps = None,
    payload_bits: PayloadBits = None,
    layers: Layers = None,
    settings: Settings = None,
    out: Out = Path("runs"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compare a file with a reference: u, v and spikes of every layer at every timestep. Exit 1 if they differ.

    On a difference: where it begins, and its likely cause, found by experiment.
    """
    changes = [*(settings or []), *(more or [])]
    with told(CONTINUE):
        if target.suffix not in FILES:
            if data is not None or root is not None:
                raise BadInput("verify: --data and --root belong to a .net file; a recipe names its own data")
            if against != "lava" or inputs is not None or random or as_json:
                raise BadInput("verify: --against, --inputs, --random and --json belong to a file; give the .net file")
            changes += [] if samples is None else [f"verify.samples={samples}"]
            verdict = finish(target, changes, out, quiet, ["verify"])["verify"].manifest["metrics"]
            say(lava_verdict(verdict))
            exit_unless_agreed(verdict)
            return
        if changes:
            raise BadInput(f"verify: --set {changes[0]} changes a recipe, but {target} is a file; give the recipe")
        if not target.is_file():
            raise BadInput(f"verify: there is no file {target}; `spikeport run RECIPE` writes one into its run folder")
        chosen = Chosen(file=target, inputs=inputs, random=random, seed=seed, samples=samples, data=data, root=root)
        reading = _reading(steps, payload_bits, layers)
        if against == "lava":
            _verify_in_lava(chosen, reading, quiet, as_json)
        else:
            _verify_against(chosen, Path(against), reading, as_json)


def record(
    file: File,
    out: Annotated[Path, typer.Option("--out", help="Where the trace is written, a .npz file.")],
    inputs: Inputs = None,
    random: Annotated[int, typer.Option("--random", min=0, help="Run so many random samples.")] = 0,
    seed: Seed = 0,
    samples: Samples = None,
    data: DataName = None,
    root: Root = None,
    steps: Steps = None,
    payload_bits: PayloadBits = None,
    layers: Layers = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing trace.")] = False,
    as_json: Json = False,
) -> None:
    """Run a file in the bit-accurate simulator and keep u, v and spikes of every layer: a golden trace for `verify`."""
    with told():
        from ..export import traces
        from .toolbox import documents
        from .toolbox.opening import open_network
        from .toolbox.recording import record as run

        if out.exists() and not force:
            raise BadInput(f"{out}: the file exists; give --force to replace it, or another name")
        network = open_network(file, _reading(steps, payload_bits, layers))
        chosen = Chosen(file=file, inputs=inputs, random=random, seed=seed, samples=samples, data=data, root=root)
        recording = run(network, chosen.array(network), str(file))
        traces.write(recording, out)
        if as_json:
            say_json(documents.of_recording(recording, str(out)))
        else:
            say(f"{out}: {recording.n_samples} samples, {len(recording.values)} layers, {network.n_steps} timesteps")


def convert(
    source: Annotated[Path, typer.Argument(metavar="FILE|RECIPE", help="A .net or .nir file, or a recipe.")],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TARGET]|[KEY=VALUE]...", help="The file to write, or settings.", show_default=False),
    ] = None,
    chip: Annotated[
        str, typer.Option("--chip", help="A .net file must be legal on it; none: only what Lava's simulation needs.")
    ] = "loihi2",
    steps: Steps = None,
    payload_bits: PayloadBits = None,
    layers: Layers = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    settings: Settings = None,
    out: Out = Path("runs"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Turn the ANN of a recipe into a spiking network; or one file into another, .net <-> .nir, by suffix."""
    with told(CONTINUE):
        if source.suffix not in FILES:
            finish(source, [*(settings or []), *(more or [])], out, quiet, ["convert"])
            return
        from .toolbox import documents
        from .toolbox.opening import convert as rewrite

        if more is None or len(more) != 1 or settings:
            raise BadInput(f"convert: {source} is a file; name one file to write, and no settings")
        limits: Chip | None = None if chip == "none" else CHIPS[chip]
        target = Path(more[0])
        done = rewrite(source, target, chip=limits, reading=_reading(steps, payload_bits, layers), force=force)
        if as_json:
            say_json(documents.of_conversion(done))
        else:
            say(f"{done.target}: {done.bytes} bytes, network {done.fingerprint[:12]}, reads back the same")


def _reading(steps: int | None, payload_bits: int | None, layers: int | None) -> Reading:
    from .toolbox.opening import Reading

    return Reading(n_steps=steps, payload_bits=payload_bits, num_layers=layers)


def _verify_in_lava(chosen: Chosen, reading: Reading, quiet: bool, as_json: bool) -> None:
    from .progress import Progress
    from .sections import Verify
    from .toolbox import documents
    from .toolbox.opening import open_network
    from .verify import verify_file, verify_payload

    file, progress = chosen.file, Progress(quiet=quiet)
    if file.suffix != ".net":
        raise BadInput(f"verify: Lava reads .net files, {file} is none; `spikeport convert {file} x.net` writes one")
    images = None if chosen.inputs or chosen.random else chosen.images()
    if images is None and not (chosen.inputs or chosen.random):
        raise BadInput(
            f"verify: {file} lies in no run folder; name its data with --data digits (see `spikeport datasets`), or "
            "give --inputs FILE.npy or --random 8"
        )
    network = open_network(file, reading)
    verdict: dict[str, Any]
    if images is None:
        array = chosen.own_array(network)
        assert array is not None  # checked above
        verdict = verify_payload(file, network, array, Verify(), progress)
    else:
        verdict = verify_file(file, network, *images, progress)
    if as_json:
        say_json(documents.of_lava(verdict, str(file)))
    else:
        say(lava_verdict(verdict))
    exit_unless_agreed(verdict)


def _verify_against(chosen: Chosen, reference: Path, reading: Reading, as_json: bool) -> None:
    from ..export import traces
    from .cli_show import show_verification
    from .toolbox import documents
    from .toolbox.against import recorded_like, verify_against
    from .toolbox.opening import open_network

    if reference.suffix not in (*TRACES, *FILES):
        raise BadInput(
            f"verify: --against {reference} is none of lava, a trace ({', '.join(TRACES)}), a file ({', '.join(FILES)})"
        )
    network = open_network(chosen.file, reading)
    if reference.suffix in TRACES:
        inputs = None
        recording = traces.read(reference)
        if recording.inputs is None:
            inputs = chosen.array(network)
        elif chosen.inputs or chosen.random or chosen.data:
            raise BadInput(f"verify: {reference} holds its own inputs; leave --inputs, --random and --data out")
        verification = verify_against(network, str(chosen.file), recording, inputs=inputs, samples=chosen.samples)
    else:
        other = open_network(reference, reading)
        recording = recorded_like(other, network, chosen.array(network), str(reference))
        verification = verify_against(network, str(chosen.file), recording)
    if as_json:
        say_json(documents.of_verification(verification))
    else:
        show_verification(verification)
    if not verification.agrees:
        raise typer.Exit(1)
