"""The sections of a recipe: one frozen model per stage, every field with its range."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ..hw import BadInput
from .data_section import Data
from .section import Count, Decay, Fraction, NotNegative, Precision, Rate, Scalar, Section


class Augment(Section):
    """Training-time image changes. crop: pixels of padding before a random crop; cutout: side of the square, 0 off.

    roll: pixels by which a picture is moved at most, what leaves it coming back on the other side. All frames of a clip
    are changed alike.
    """

    crop: NotNegative = 0
    flip: bool = False
    cutout: NotNegative = 0
    roll: NotNegative = 0


class Model(Section):
    """Which network: one of architecture and file.

    architecture: a registered name, see `spikeport models`. file: an ONNX file with a trained ANN, relative to the
    current folder; its content, not its place, decides what is computed. mean, std: of its input normalisation, per
    channel of pixels in [0, 1]; None if it takes the pixels themselves.
    """

    architecture: str | None = None
    file: Annotated[Path, Field(strict=False)] | None = None
    mean: Annotated[list[float], Field(min_length=1)] | None = None
    std: Annotated[list[Rate], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _some_network(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("architecture") is None and values.get("file") is None:
            return {**values, "architecture": "digits_conv"}
        return values

    @model_validator(mode="after")
    def _one_network(self) -> Model:
        if self.architecture is not None and self.file is not None:
            raise ValueError(f"architecture {self.architecture} and file {self.file} are both given; keep one")
        if self.file is None and (self.mean or self.std):
            raise ValueError("mean and std belong to a file; an architecture is trained on the pixels themselves")
        return self

    def identity(self) -> dict[str, Any]:
        """What decides the network: the architecture's name, or the file's content and its normalisation.

        Raises BadInput if the file cannot be read.
        """
        if self.file is None:
            return {"architecture": self.architecture}
        from .adopt.content import content_hash  # few recipes name a file

        return {"file": content_hash(self.file), "mean": self.mean, "std": self.std}


class Optimization(Section):
    """What every training stage shares. momentum is SGD's; AdamW ignores it.

    sampling: every sample once per epoch, or, `balanced`, as many draws with replacement, each class as often.
    """

    epochs: NotNegative
    batch_size: Count
    lr: Rate
    momentum: Fraction = 0.9
    weight_decay: Decay = 5e-4
    augment: Augment = Augment()
    precision: Precision = "fp32"
    sampling: Literal["shuffled", "balanced"] = "shuffled"


class Warmed(Optimization):
    """What the stages that start from nothing share."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    warmup_epochs: NotNegative = 0

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} is more than epochs {self.epochs}")
        return self


class Train(Warmed):
    """Training of the ANN; of one from a file, which is trained already, 0 epochs unless given.

    activation: `relu`, or `qcfs`, a staircase of `levels` steps with a learned end (`models/qcfs.py`), for conversion.
    architecture: of the ANN that learns from `data.stills`; None for the model's.
    """

    epochs: NotNegative = 30
    batch_size: Count = 64
    lr: Rate = 0.05
    schedule: Literal["cosine", "onecycle"] = "cosine"
    label_smoothing: Fraction = 0.0
    activation: Literal["relu", "qcfs"] = "relu"
    levels: Count = 8
    architecture: str | None = None


class Convert(Section):
    """ANN to spiking network. norm: what becomes a threshold.

    `max`, `percentile`: that activation. `mmse`: the least squared error for refine.profile's spike counts over
    refine.T. `qcfs`: the learned end of an ANN trained with train.activation qcfs. calibrate: `light` corrects the mean
    of every channel by its bias, for the neurons that run it. v_init: where a soft-reset membrane starts, `zero` or
    `half` a threshold; None is `half` for `qcfs`, else `zero`.
    """

    norm: Literal["max", "percentile", "mmse", "qcfs"] = "percentile"
    percentile: Annotated[float, Field(gt=0, le=100)] = 99.9
    calibration_images: Count = 512
    calibrate: Literal["none", "light"] = "none"
    v_init: Literal["zero", "half"] | None = None


class Refine(Warmed):
    """Repair of the converted network. T: timesteps. v_decay: voltage decay, of 4096; None for the profile's own.

    engine: how gradients are taken, see `models.ENGINES`. grad_scale: what the gradient (not the loss) is multiplied
    by. seed: of batches, augmentation and the method's draws; None for the recipe's. last_activation: of the last
    hidden unit, `relu` for a control that no chip can run (`docs/methods/ckdsnn.md`). T of frames is data.frames.T.

    teacher: folder of another run on the same data and seed, whose trained ANN is the teacher; None for this run's own.
    Its weights, not its place, decide what is computed.

    start: the converted network as it is, with half a threshold of bias, or with thresholds and biases measured layer
    by layer (`pipeline/compensate.py`); or, without conversion, the ANN's weights and batch norms behind spiking
    neurons (`teacher`), or fresh ones (`scratch`). options: the method's own settings, checked by its dataclass
    (`options_as`).
    """

    method: str = "closed_loop_cka"
    engine: str = "bptt"
    grad_scale: Literal["1", "1/T"] = "1"
    seed: NotNegative | None = None
    teacher: Annotated[Path, Field(strict=False)] | None = None
    profile: str = "loihi"
    last_activation: Literal["spiking", "relu"] = "spiking"
    T: Count = 4
    v_decay: Annotated[int, Field(ge=0, le=4096)] | None = None
    epochs: NotNegative = 10
    batch_size: Count = 64
    lr: Rate = 0.01
    grad_clip: Rate | None = None
    start: Literal["converted", "half_bias", "compensated", "teacher", "scratch"] = "half_bias"
    options: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)

    def teacher_identity(self) -> str | None:
        """SHA-256 of the other run's trained weights, None for this run's own teacher.

        Raises BadInput if there is no trained network in the folder.
        """
        if self.teacher is None:
            return None
        from .files import sha256  # few recipes name a teacher

        weights = self.teacher / "train" / "weights.safetensors"
        if not weights.is_file():
            raise BadInput(
                f"refine.teacher {self.teacher}: holds no finished train stage; name a run's folder, with a network "
                "made by `spikeport train`"
            )
        return sha256(weights)


class Quantize(Optimization):
    """Training in the chip's integers. payload_bits: bits of an input pixel (None: as many as fit).

    relays: how a layer that a shortcut passes can repeat its spikes in the file. `rescale` keeps the layer's threshold
    below 254, which one synapse exceeds; `copies` keeps its scale, and the export adds biases or copies. teacher: whose
    answers are kept, those of the ANN or of the refined student; None for the ANN's, unless it reads `data.stills`.
    """

    chip: str = "loihi2"
    payload_bits: Annotated[int, Field(ge=1, le=24)] | None = None
    relays: Literal["rescale", "copies"] = "rescale"
    teacher: Literal["ann", "refined"] | None = None
    epochs: NotNegative = 5
    batch_size: Count = 64
    lr: Rate = 0.005
    grad_clip: Rate | None = None


class Budget(Section):
    """What a sample may cost or lose. accuracy_drop: against the best T, as a share of all images. accuracy: at least.

    synops: synaptic operations per image, energy_pj: joules of the convention `energy_convention`, both at most.
    """

    accuracy_drop: Annotated[float, Field(ge=0, le=1)] | None = None
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    synops: Rate | None = None
    energy_pj: Rate | None = None
    energy_convention: str = "op_count_int8"

    @model_validator(mode="after")
    def _something(self) -> Budget:
        if self.accuracy_drop is self.accuracy is self.synops is self.energy_pj is None:
            raise ValueError("is empty; give accuracy_drop, accuracy, synops or energy_pj")
        return self


class Export(Section):
    """Writing the `.net` file. budget: picks its number of timesteps, 1..refine.T, on the validation images.

    None keeps refine.T. A sample longer than those trained is not offered: its read-out could saturate.
    """

    budget: Budget | None = None


class Simulate(Section):
    """Bit-accurate simulation of the file. batch_size: images at a time; the result does not depend on it."""

    batch_size: Count = 64


class Verify(Section):
    """Comparison with real Lava. samples: test images, from the first. timeout_s: seconds Lava may take.

    fast_conv: give Lava an exact matrix product in the place of scipy's convolution; about 7 times faster, but the
    stock one is the stricter judge.
    """

    samples: Count = 32
    timeout_s: Rate = 600.0
    fast_conv: bool = False


class Baselines(Section):
    """The ANN quantized to the bits that match T timesteps, and trained with its rounding (`pipeline/baselines.py`).

    epochs: 0 to quantize after training alone. batch_size: None for the ANN's; lr: None for a tenth of the ANN's. All
    else is as in `train`, but for its schedule.
    """

    epochs: NotNegative = 2
    batch_size: Count | None = None
    lr: Rate | None = None
    grad_clip: Rate | None = 1.0


class Energy(Section):
    """The convention shown first; all are always computed.

    first_layer: charge the layer that sees the image at every timestep or once. synops: count stored synapses or only
    those whose weight is not zero.
    """

    first_layer: Literal["per_step", "once"] = "per_step"
    synops: Literal["stored", "effective"] = "stored"


class Report(Section):
    """The report has no settings."""


class Recipe(Section):
    """Everything a run depends on. device and threads say where it is computed, all else what is computed."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: NotNegative = 0
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: Count | None = None
    data: Data = Data()
    model: Model = Model()
    train: Train = Train()
    convert: Convert = Convert()
    refine: Refine = Refine()
    quantize: Quantize = Quantize()
    export: Export = Export()
    simulate: Simulate = Simulate()
    verify: Verify = Verify()
    baselines: Baselines = Baselines()
    energy: Energy = Energy()
    report: Report = Report()

    @model_validator(mode="before")
    @classmethod
    def _a_file_is_trained(cls, values: Any) -> Any:
        model, train = (values.get("model"), values.get("train", {})) if isinstance(values, dict) else (None, None)
        if isinstance(model, dict) and model.get("file") is not None and isinstance(train, dict):
            return {**values, "train": {"epochs": 0, **train}}
        return values

    @model_validator(mode="before")
    @classmethod
    def _frames_are_timesteps(cls, values: Any) -> Any:
        data, refine = (values.get(name, {}) if isinstance(values, dict) else None for name in ("data", "refine"))
        frames = data.get("frames") if isinstance(data, dict) else None
        if isinstance(frames, dict) and "T" in frames and isinstance(refine, dict):
            return {**values, "refine": {"T": frames["T"], **refine}}
        return values

    @model_validator(mode="after")
    def _fits_its_data(self) -> Recipe:
        frames, stills = self.data.frames, self.data.stills
        if frames is not None and frames.T != self.refine.T:
            raise ValueError(
                f"refine.T is {self.refine.T}, but data.frames.T is {frames.T}, and a frame is a timestep; give one"
            )
        if self.train.architecture is not None and stills is None:
            raise ValueError(
                "train.architecture is of an ANN that learns from data.stills; give these, or leave it out"
            )
        if stills is not None and self.refine.start != "scratch":
            raise ValueError(
                f"refine.start is {self.refine.start}, but the ANN learns from data.stills and is no start for a "
                "network of events; use refine.start: scratch"
            )
        if stills is not None and self.quantize.teacher == "ann":
            raise ValueError("quantize.teacher is ann, but the ANN learns from data.stills; use refined")
        return self

    @model_validator(mode="after")
    def _qcfs_is_trained(self) -> Recipe:
        if self.convert.norm == "qcfs" and self.train.activation != "qcfs":
            raise ValueError("convert.norm is qcfs, whose thresholds are trained; set train.activation: qcfs too")
        if self.train.activation == "qcfs" and self.model.file is not None:
            raise ValueError("train.activation is qcfs, but a network from model.file keeps its own; use relu")
        return self

    def sections(self, names: Iterable[str]) -> dict[str, Any]:
        """Parts of the recipe as plain JSON values: {"seed": 0, "refine.T": 4, ...}.

        names: top-level keys, or `section.field` for one field of a section. A place is not an identity: `data.root` is
        left out, `model.file` and `refine.teacher` are hashes of their content.
        """
        names = sorted(names)
        whole = self.model_dump(mode="json")
        whole["data"].pop("root")
        if self.data.stills is not None:
            whole["data"]["stills"].pop("root")
        if self.train.activation == "relu":
            del whole["train"]["activation"], whole["train"]["levels"]
        _drop_defaults(whole)
        if "model" in names:
            whole["model"] = self.model.identity()
        if "refine" in names:
            whole["refine"]["teacher"] = self.refine.teacher_identity()
        parts = {}
        for name in names:
            section, _, field = name.partition(".")
            parts[name] = whole[section][field] if field else whole[section]
        return parts

    def canonical(self) -> str:
        """The whole recipe as JSON with sorted keys: equal recipes give equal text."""
        return canonical(self.model_dump(mode="json"))

    def identity(self) -> str:
        """SHA-256 over what the trained ANN depends on: name, seed, data, model, train. It names the run's folder."""
        return digest(self.sections(("name", "seed", "data", "model", "train")))


LATER: dict[str, dict[str, Any]] = {
    "data": {"per_class": None, "label_noise": 0.0, "frames": None, "saccades": None, "folds": None, "stills": None},
    "train": {"architecture": None, "sampling": "shuffled"},
    "refine": {"optimizer": "sgd", "warmup_epochs": 0, "sampling": "shuffled"},
    "quantize": {"teacher": None, "sampling": "shuffled"},
}
"""Fields that came after the first runs, and the value that means what was done before: it does not make a new run."""


def _drop_defaults(whole: dict[str, Any]) -> None:
    """Leave out, in place, every field of LATER that has its first value."""
    for section, fields in LATER.items():
        for name, first in fields.items():
            if whole[section][name] == first:
                del whole[section][name]
        augment = whole[section].get("augment", {})
        if augment.get("roll") == 0:
            del augment["roll"]


def canonical(value: Any) -> str:
    """JSON text with sorted keys and no spaces. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON text of a value, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
