"""What does conversion alone cost, by method and by T? Every converter on one trained ANN and on its QCFS twin.

    python benchmarks/conversion.py recipes/digits.yaml recipes/digits-qcfs.yaml [--out runs] [--images 2000]
                                    [--steps 256] [--short 32] [--device cpu]

The first recipe's ANN has ReLUs, the second's QCFS activations; both are trained if their run has not been finished,
and only read if it has. Every curve is measured on validation images. The four converters among which the poster's is
identified run `steps` timesteps, all others `short`. Thresholds of least squared error and light calibration belong to
one T, so theirs are made anew for each T of the table. T95: the first T with 95 % of the accuracy at the last one.

What is best at the recipe's T is chosen on validation; the chosen ones and the poster's are then evaluated on the test
images, once. The result is benchmarks/results/conversion-<recipe>.json.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import torch
from spikeport.hw import BadInput
from spikeport.models import PROFILES, GraphNet, Profile
from spikeport.models.datasets import Images
from spikeport.pipeline.artefacts import load_ann
from spikeport.pipeline.conversion import cos, srp
from spikeport.pipeline.conversion.latency import SHARE, first_step, hits_by_step, images_at_once
from spikeport.pipeline.conversion.light import light_calibration
from spikeport.pipeline.convert import calibration_batches, convert, thresholds
from spikeport.pipeline.data import Splits, load_splits
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.metrics import accuracy
from spikeport.pipeline.recipe import load
from spikeport.pipeline.runs import folder_of, read_manifest, versions
from spikeport.pipeline.sections import Convert, Recipe
from spikeport.pipeline.train import STAGE
from torch import Tensor

RESULTS = Path(__file__).parent / "results"
TABLE = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
POSTER_T95 = 42.0
"""Of ResNet-18 on CIFAR-10, as the poster's figures imply: 416 timesteps / 9.90."""

Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Converter:
    """One way to convert. ann: relu or qcfs. v_init: in thresholds. reference: none, or a look-ahead method."""

    ann: str
    norm: str
    reset: str
    v_init: float
    calibrate: str = "none"
    reference: str = "none"

    @property
    def profile(self) -> Profile:
        return replace(PROFILES["loihi" if self.reset == "hard" else "soft_if"], v_init=self.v_init)

    @property
    def of_one_t(self) -> bool:
        """Whether it is made for one T and no other."""
        return self.norm == "mmse" or self.calibrate == "light"

    @property
    def identifies(self) -> bool:
        """Whether it is one of the four that may be the poster's."""
        return self.ann == "relu" and self.reset == "soft" and not self.of_one_t

    @property
    def not_deployable(self) -> str | None:
        """Why the chip cannot compute it, or None."""
        reasons = {"srp": srp.NOT_DEPLOYABLE, "cos": cos.NOT_DEPLOYABLE}
        return reasons.get(self.reference) or self.profile.on_chip()


def converters() -> Iterator[Converter]:
    """Everything that is compared."""
    for norm, v_init, reset in product(("max", "percentile", "mmse"), (0.0, 0.5), ("soft", "hard")):
        yield Converter(ann="relu", norm=norm, v_init=v_init, reset=reset)
    for norm, (reset, v_init) in product(("percentile", "mmse"), (("soft", 0.0), ("soft", 0.5), ("hard", 0.0))):
        yield Converter(ann="relu", norm=norm, v_init=v_init, reset=reset, calibrate="light")
    yield Converter(ann="qcfs", norm="qcfs", v_init=0.5, reset="soft")
    yield Converter(ann="qcfs", norm="qcfs", v_init=0.0, reset="soft")
    yield Converter(ann="qcfs", norm="qcfs", v_init=0.0, reset="hard")
    yield Converter(ann="qcfs", norm="qcfs", v_init=0.0, reset="hard", calibrate="light")
    yield Converter(ann="qcfs", norm="qcfs", v_init=0.5, reset="soft", reference="srp")
    yield Converter(ann="qcfs", norm="qcfs", v_init=0.5, reset="soft", reference="cos")


class Bench:
    """The two ANNs, the images, and how a converter is judged on them."""

    def __init__(self, recipes: dict[str, Path], out: Path, n_images: int, device: torch.device) -> None:
        self.device = device
        self.anns: dict[str, GraphNet] = {}
        self.runs: dict[str, str] = {}
        self.recipes = {kind: load(path) for kind, path in recipes.items()}
        for kind, recipe in self.recipes.items():
            folder = trained(recipe, recipes[kind], out)
            self.runs[kind] = folder.name
            self.anns[kind] = fold_batchnorm(load_ann(recipe, folder / "train").to(device))
        recipe = self.recipes["relu"]
        splits: Splits = load_splits(recipe)
        self.validation = splits.validation.subset(slice(n_images))
        self.test = splits.test.subset(slice(n_images))
        self.calibration = calibration_batches(splits.train, recipe.convert.calibration_images, device)

    def answers(self, converter: Converter, n_steps: int) -> tuple[Logits, GraphNet]:
        """(images -> logits per timestep, the converted network)."""
        ann, profile = self.anns[converter.ann], converter.profile
        settings = Convert(norm=converter.norm)
        scales, _ = thresholds(ann, self.calibration, settings, profile, n_steps)
        if converter.calibrate == "light":
            ann = light_calibration(ann, torch.cat(self.calibration), scales, profile, n_steps)
        net = convert(ann, scales, profile, n_steps)
        look_ahead = {"srp": srp.srp_logits, "cos": cos.cos_logits}
        if converter.reference in look_ahead:
            return lambda x: look_ahead[converter.reference](net, x), net
        return lambda x: net(x)[0], net

    def hits(self, converter: Converter, images: Images, n_steps: int) -> list[int]:
        """Right answers after each of n_steps timesteps of a sample of that length."""
        logits, net = self.answers(converter, n_steps)
        return hits_by_step(logits, images, n_steps, self.device, min(100, images_at_once(net, n_steps)))

    def ann_accuracy(self, kind: str, images: Images) -> dict:
        """Of the ANN itself."""
        ann = self.anns[kind]
        hits = hits_by_step(lambda x: ann(x)[0][None], images, 1, self.device, 250)
        return accuracy(hits[0], len(images))

    def curve(self, converter: Converter, steps: int, short: int) -> dict:
        """A converter's row of the result: accuracy by T on the validation images, and T95."""
        started = time.perf_counter()
        last = steps if converter.identifies else short
        table = [t for t in TABLE if t <= last]
        table += [last] if last not in table else []
        if converter.of_one_t:
            by_t = {t: self.hits(converter, self.validation, t)[-1] for t in table}
            place = first_step(list(by_t.values()))
            t95 = None if place is None else table[place - 1]
        else:
            hits = self.hits(converter, self.validation, last)
            by_t = {t: hits[t - 1] for t in table}
            t95 = first_step(hits)
        return {
            **asdict(converter),
            "not_deployable": converter.not_deployable,
            "made_for_each_T": converter.of_one_t,
            "by_T": [{"T": t, **accuracy(count, len(self.validation))} for t, count in by_t.items()],
            "T95": t95,
            "seconds": round(time.perf_counter() - started, 1),
        }


def trained(recipe: Recipe, path: Path, out: Path) -> Path:
    """The run folder of a recipe with its ANN trained, which is done if it is not. A finished one is only read."""
    folder = folder_of(recipe, out)
    if not (folder / "train" / "manifest.json").exists():
        subprocess.run(
            [sys.executable, "-m", "spikeport", "train", str(path), "--out", str(out), "--quiet"], check=True
        )
    if read_manifest(folder / "train")["recipe"] != recipe.sections(STAGE.reads):
        raise BadInput(f"{folder}: its ANN is of another recipe than {recipe.name}; give another --out")
    return folder


def at(row: dict, n_steps: int) -> dict:
    """A row's accuracy at T."""
    return next(entry for entry in row["by_T"] if entry["T"] == n_steps)


def identified(rows: list[dict], classes: int) -> dict:
    """Which of the four conversions behaves like the poster's: at chance at T = 2, with the nearest T95."""
    four = [row for row in rows if row["ann"] == "relu" and row["reset"] == "soft" and not row["made_for_each_T"]]
    found = []
    for row in four:
        early = at(row, 2)
        near = early["ci95"][0] <= 1 / classes <= early["ci95"][1]
        found.append(
            {"norm": row["norm"], "v_init": row["v_init"], "at_T2": early, "at_chance": near, "T95": row["T95"]}
        )
    candidates = [row for row in found if row["at_chance"] and row["T95"] is not None]
    nearest = min(candidates, key=lambda row: abs(row["T95"] - POSTER_T95), default=None)
    return {
        "question": "which of {max, 99.9 %} x {v0 = 0, theta / 2} is at chance at T = 2, with T95 nearest the poster's",
        "poster": {"network": "ResNet-18, CIFAR-10", "at_T2": 0.1, "T95": POSTER_T95},
        "chance": 1 / classes,
        "rows": found,
        "nearest": nearest and {key: nearest[key] for key in ("norm", "v_init", "T95")},
    }


def chosen(rows: list[dict], n_steps: int) -> list[dict]:
    """The best row at T on validation of each kind of ANN and reset, and the poster's conversion."""
    kinds: dict[tuple, dict] = {}
    for row in rows:
        kind = (row["ann"], row["reset"], row["reference"] != "none")
        if kind not in kinds or at(row, n_steps)["correct"] > at(kinds[kind], n_steps)["correct"]:
            kinds[kind] = row
    poster = [
        r for r in rows if (r["norm"], r["v_init"], r["reset"], r["calibrate"]) == ("percentile", 0, "soft", "none")
    ]
    return [*kinds.values(), *(row for row in poster if row not in kinds.values())]


def machine(device: torch.device) -> dict:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    made = {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "system": platform.platform()}
    return made | ({"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {})


def main() -> None:
    """Measure every curve on validation, choose, evaluate the chosen on test, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("qcfs", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--short", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    recipe = load(options.recipe)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    paths = {"relu": options.recipe, "qcfs": options.qcfs}
    bench = Bench(paths, options.out, options.images, torch.device(options.device))
    rows = []
    for converter in converters():
        rows.append(bench.curve(converter, options.steps, options.short))
        shown = {entry["T"]: f"{entry['accuracy']:.4f}" for entry in rows[-1]["by_T"]}
        print(converter, shown, "T95", rows[-1]["T95"], f"{rows[-1]['seconds']} s", flush=True)
    n_steps = recipe.refine.T
    names = list(Converter.__dataclass_fields__)
    picked = [Converter(**{name: row[name] for name in names}) for row in chosen(rows, n_steps)]
    test = [
        {**asdict(c), "T": n_steps, **accuracy(bench.hits(c, bench.test, n_steps)[-1], len(bench.test))} for c in picked
    ]
    result = {
        "question": "accuracy of every conversion by T, without any training after it",
        "machine": machine(bench.device),
        "versions": versions(),
        "runs": bench.runs,
        "recipes": {kind: made.model_dump(mode="json") for kind, made in bench.recipes.items()},
        "n": {"validation": len(bench.validation), "test": len(bench.test)},
        "T95": f"first T with {SHARE:.0%} of the validation accuracy at the last T of the row",
        "ann": {
            kind: {
                "validation": bench.ann_accuracy(kind, bench.validation),
                "test": bench.ann_accuracy(kind, bench.test),
            }
            for kind in bench.anns
        },
        "validation": rows,
        "poster": identified(rows, bench.anns["relu"].architecture.n_classes),
        "test": {"T": n_steps, "chosen_by": "validation accuracy at T, per ANN, reset and reference", "rows": test},
        "script": Path(__file__).read_text(),
    }
    path = RESULTS / f"conversion-{recipe.name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
