"""Cross-modality knowledge distillation: a student of events, taught by an ANN that has seen still images alone.

    L = TET(hybrid) + mean_t (1 - s_t) TET_t(events) + beta L_DA + weight_kd gamma(e) L_KD
    L_DA = mean_t s_t (1 - |CKA(f_h^t, f_e^t)|),                   s_t = sigmoid(th_t)
    L_KD = tau^2 KL( softmax(z_A / tau) || softmax(mean_t z_h^t / tau) )

Two streams go through one spiking network, one after the other: the events, and a hybrid of still clips of the same
classes, more and more of which the events themselves replace. Each has a read-out of its own; z_e^t (T, B, K), of the
student's, is the answer, z_h^t of the other one, which is left behind. f^t: what is aligned (`ckd_alignment.py`). th_t:
learned, one per timestep: what is aligned there counts less in the events' own loss. z_A: the teacher's answer to the
still image, also for a replaced clip. P and gamma: `ckd_schedule.py`; images and their clips: `pairing.py`.

Source: CKD, ICME 2025, arXiv 2507.09269, which published no code; what it leaves open is taken from its predecessor (He
et al., AAAI 2024, arXiv 2303.13077) or decided here (`docs/methods/ckd.md`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...hw import BadInput
from ...models import INPUT, GraphNet, Node, draw_weights_
from ..losses import kd_kl, tet
from ..training import Moment
from .ckd_alignment import Feature, feature_of, similarity
from .ckd_schedule import Replacement, Switch, gamma, replaced_share, switch_epoch
from .method import METHODS, Distiller, Method, Pair, spikes_per_neuron
from .modes import check_frozen, unrecorded
from .pairing import StillPool, as_clip


@dataclass(frozen=True, kw_only=True)
class CkdConfig:
    """replacement, power: how events replace still clips. beta: weight of the alignment; coef_init: of th_t at first.

    unbiased: align by the unbiased CKA instead of the biased one. weight_kd, tau: of the logit term. switch: when it is
    turned off: at the epoch in which half the still clips are replaced, at epoch `e_th`, or never; k: how sharply, per
    epoch. tet_weight, phi: of `tet`; phi None is the profile's threshold.
    """

    replacement: Replacement = "cubic"
    power: float = 3.0
    beta: float = 0.5
    coef_init: float = 1.0
    unbiased: bool = False
    weight_kd: float = 1.0
    tau: float = 4.0
    switch: Switch = "half_replaced"
    k: float = 100.0
    e_th: float | None = None
    tet_weight: float = 1e-3
    phi: float | None = None

    def __post_init__(self) -> None:
        for name in ("power", "tau", "k"):
            if getattr(self, name) <= 0:
                raise BadInput(f"ckd: {name} is {getattr(self, name)}; it must be positive")
        for name in ("beta", "weight_kd"):
            if getattr(self, name) < 0:
                raise BadInput(f"ckd: {name} is {getattr(self, name)}; a weight is not negative, 0 leaves its term out")
        if not 0 <= self.tet_weight <= 1:
            raise BadInput(f"ckd: tet_weight is {self.tet_weight}; it is a share, between 0 and 1")
        if (self.switch == "epoch") != (self.e_th is not None):
            raise BadInput(
                f"ckd: switch is {self.switch} and e_th {self.e_th}; give the epoch e_th with switch: epoch, and only "
                "there"
            )


@dataclass(frozen=True, kw_only=True)
class Hybrid:
    """A batch of still images and the clips made of it.

    stills: (B, C, H, W), and y: their labels (B,). replaced: of which clips the events took the place, bool (B,). clip:
    what the student is shown, (T, B, *shape).
    """

    stills: Tensor
    y: Tensor
    replaced: Tensor
    clip: Tensor


class CrossModal(Distiller):
    """The method on one pair. Its own: `coefficients`, th_t (T,), and `still_head`, the read-out of the hybrid stream.

    Raises BadInput for a pair without still images, images that are not what the teacher takes, a class without one, a
    teacher that is not frozen or knows other classes, and a student without anything to align.
    """

    smallest_batch = 4

    def __init__(self, pair: Pair, config: CkdConfig) -> None:
        super().__init__(pair)
        check_frozen(pair.teacher, "ckd")
        self.config = config
        self.pool = _pool(pair)
        self.feature: Feature = feature_of(pair.student)
        self.phi = pair.student.spiking[0].profile.threshold if config.phi is None else config.phi
        self.coefficients = nn.Parameter(torch.full((pair.student.n_steps,), config.coef_init))
        self.still_head = second_head(pair.student, torch.Generator().manual_seed(pair.seed))

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """See `Distiller.loss`; x: clips of events, (T, B, 2, H, W). Raises BadInput for images without time."""
        config, student = self.config, self.pair.student
        hybrid = self.hybrid(x, y, replaced_share(moment.done, config.replacement, config.power), moment.generator)
        still_logits, still_features = self.still_stream(hybrid.clip)
        taps = student.architecture.taps
        got = self.pair.ask_student(x, [*taps, self.feature.tap])
        assert got.sequence is not None  # the method says it needs single steps
        assert got.spikes is not None
        alike = similarity(still_features, self.feature.of(got.spikes))
        shares = self.shares()
        on_stills = tet(still_logits, y, weight=config.tet_weight, phi=self.phi)
        on_events = ((1 - shares) * self._tet_of_steps(got.sequence, y)).mean()
        alignment = (shares * (1 - (alike.unbiased if config.unbiased else alike.biased))).mean()
        weight = config.weight_kd * gamma(moment.done * moment.epochs, config.k, self._switch_epoch(moment.epochs))
        match = self._match(hybrid.stills, still_logits) if weight else torch.zeros_like(alignment)
        total = on_stills + on_events + config.beta * alignment + weight * match
        parts = {
            "hybrid": on_stills,
            "events": on_events,
            "alignment": alignment,
            "logits": match,
            "logits_weight": torch.tensor(weight),
            "replaced": hybrid.replaced.float().mean(),
            "aligned_share": shares.mean(),
            "cka_biased": alike.biased.mean(),
            "cka_unbiased": alike.unbiased.mean(),
            "spikes_per_neuron": spikes_per_neuron({name: got.rates[name] for name in taps}, student.n_steps),
        }
        return total, got.logits, parts

    def hybrid(self, x: Tensor, y: Tensor, share: float, generator: torch.Generator) -> Hybrid:
        """A still clip for each clip of events (T, B, *shape), which replace them with probability `share` each."""
        student = self.pair.student
        shape = student.architecture.input_shape
        if x.ndim != len(shape) + 2 or len(x) != student.n_steps:
            raise BadInput(
                f"ckd: the student is given {tuple(x.shape)}, and learns from clips of events, (T, B, "
                f"{', '.join(map(str, shape))}) with T = {student.n_steps}; make them of recordings with data.frames"
            )
        stills, labels = self.pool.draw(y, generator)
        replaced = (torch.rand(len(y), generator=generator) < share).to(x.device)
        stills = stills.to(x.device)
        chosen = replaced.reshape(-1, *[1] * len(shape))
        clip = torch.where(chosen, x, as_clip(stills, student.n_steps, shape))
        return Hybrid(stills=stills, y=labels, replaced=replaced, clip=clip)

    def still_stream(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """(logits of the read-out left behind (T, B, K), features (T, B, ...)) of the hybrid stream.

        The student's batch norms normalise by this stream's batch, and keep the statistics of the events alone, which
        is all that the student will see.
        """
        sources = [wire.source for wire in self.still_head.unit.wires]
        with unrecorded(self.pair.student):
            got = self.pair.ask_student(clip, [*sources, self.feature.tap])
        assert got.spikes is not None  # the method says it needs single steps
        known = {INPUT: clip, **got.spikes}
        logits = self.still_head([known[name] for name in sources], [False] * len(sources))
        return logits.float(), self.feature.of(got.spikes)

    def shares(self) -> Tensor:
        """s_t (T,), or zeros where nothing is aligned: there th_t could only grow, to turn the events' loss off."""
        return self.coefficients.sigmoid() if self.config.beta else torch.zeros_like(self.coefficients)

    def _tet_of_steps(self, sequence: Tensor, y: Tensor) -> Tensor:
        """The loss `tet` of each timestep alone, (T,)."""
        return torch.stack([tet(step[None], y, weight=self.config.tet_weight, phi=self.phi) for step in sequence])

    def _match(self, stills: Tensor, logits: Tensor) -> Tensor:
        """L_KD. stills: what the teacher is shown, (B, C, H, W). logits: of the hybrid stream, (T, B, K)."""
        target, _ = self.pair.ask_teacher(stills)
        return kd_kl(logits.mean(dim=0), target, self.config.tau)

    def _switch_epoch(self, epochs: int) -> float:
        config = self.config
        return switch_epoch(config.switch, config.e_th, config.replacement, config.power, epochs)

    def report(self) -> dict[str, Any]:
        """{"alignment": {"unit", "what", "shares"}}: what was aligned, and s_t at the end."""
        return {
            "alignment": {
                "unit": self.feature.unit,
                "what": self.feature.what,
                "shares": self.shares().detach().cpu().tolist(),
            }
        }


def second_head(student: GraphNet, generator: torch.Generator) -> Node:
    """A read-out with the wires of the student's and fresh weights, on the CPU."""
    head = copy.deepcopy(student.walk()[-1]).cpu()
    draw_weights_(head, generator)
    return head


def _pool(pair: Pair) -> StillPool:
    """The still images of a pair. Raises BadInput where they, the teacher and the student do not go together."""
    teacher, student = pair.teacher.architecture, pair.student.architecture
    if pair.stills is None:
        raise BadInput("ckd: its teacher is shown still images beside the events; name them in data.stills")
    if pair.stills.shape != teacher.input_shape:
        raise BadInput(
            f"ckd: the still images have shape {pair.stills.shape}, and the teacher {teacher.name} takes "
            f"{teacher.input_shape}; let it learn from data.stills"
        )
    if teacher.n_classes != student.n_classes:
        raise BadInput(
            f"ckd: the teacher {teacher.name} knows {teacher.n_classes} classes, the student {student.name} "
            f"{student.n_classes}; take still images of the same classes in data.stills"
        )
    return StillPool(pair.stills, student.n_classes)


METHODS.register(
    "ckd",
    Method(
        summary="events aligned with still images of the same classes, whose ANN teaches by its logits until a switch",
        source="CKD, ICME 2025",
        config=CkdConfig,
        build=CrossModal,
        steps=True,
        any_teacher=True,
        asks="stills",
    ),
)
