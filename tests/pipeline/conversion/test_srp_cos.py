"""SRP and COS: what each does to single neurons by hand, and to a network stepped through time by a plain loop."""

from __future__ import annotations

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import INPUT, PROFILES, GraphNet, Spiking
from spikeport.models.neurons import step
from spikeport.models.qcfs import as_qcfs
from spikeport.pipeline.calibration import activation_scales
from spikeport.pipeline.conversion.cos import cos_logits, offset_start
from spikeport.pipeline.conversion.srp import residual_potential, speakers, srp_logits
from spikeport.pipeline.convert import convert
from spikeport.pipeline.folding import fold_batchnorm
from torch import Tensor

from .. import tiny_nets

SOFT = PROFILES["qcfs_if"]


def twin(name: str = "chain", n_steps: int = 6) -> tuple[GraphNet, Tensor]:
    _, net = tiny_nets.converted(tiny_nets.WITH_VARIED[name](), SOFT, n_steps, thresholds=0.7)
    return net, tiny_nets.images(net.architecture, 5)


@torch.no_grad()
def stepped(net: GraphNet, x: Tensor, n_steps: int, masks=None) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """All populations one timestep after another: (logits (T, N, K), spike counts, last membranes)."""
    v: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    logits = []
    for _ in range(n_steps):
        values = {INPUT: x}
        for node in net.walk():
            name, neuron = node.unit.name, node.neuron
            out = node.current([values[w.source] for w in node.unit.wires], [True] * len(node.unit.wires))
            if isinstance(neuron, Spiking):
                v[name], out = step(v.get(name, torch.full_like(out, 0.5)), out, 1.0, neuron.profile)
                out = out if masks is None else out * masks[name]
                counts[name] = counts.get(name, 0) + out
            values[name] = out
        logits.append(out)
    return torch.stack(logits), counts, v


def test_the_residual_is_the_membrane_after_the_last_step():
    """v0 + sum I - N by hand: 0.5 + 0.9 fires and keeps 0.4, and 0.4 - 0.7 is left; 0.5 + 0.3 + 0.1 never fires."""
    current = torch.tensor([[0.9, 0.3], [-0.7, 0.1]])[:, None, :]  # (2 steps, 1 image, 2 neurons)
    spikes = Spiking(SOFT, 2)(current, False) > 0
    assert spikes.flatten().tolist() == [True, False, False, False]
    torch.testing.assert_close(residual_potential(current, spikes, 0.5), torch.tensor([[-0.3, 0.9]]))


@pytest.mark.parametrize("name", tiny_nets.WITH_VARIED)
def test_srp_silences_those_without_residual_and_runs_again(name):
    """T-CV-7: against the loop: the same mask, the same logits."""
    net, x = twin(name)
    _, _, v = stepped(net, x, 4)
    masks = speakers(net, x, 4)
    # A membrane that is 0.001 but for rounding may fall on either side.
    assert all(torch.equal(masks[n][(v[n] - 1e-3).abs() > 1e-4], (v[n] > 1e-3)[(v[n] - 1e-3).abs() > 1e-4]) for n in v)
    assert not all(mask.all() for mask in masks.values())
    logits, _, _ = stepped(net, x, 6, masks)
    torch.testing.assert_close(srp_logits(net, x, 4), logits)


def test_the_mask_only_removes_spikes():
    """T-CV-7: of the same input. A static input leaves every neuron that fires a residual, so the first layer keeps
    all its spikes, and the second sees what it saw; there every spike sent would have been sent without the mask."""
    net, x = twin()
    masks = speakers(net, x, 4)
    _, plain, _ = stepped(net, x, 6)
    _, masked, _ = stepped(net, x, 6, masks)
    assert torch.equal(masked["a"], plain["a"])
    assert torch.equal(masked["b"], plain["b"] * masks["b"])
    assert bool((masked["b"] < plain["b"]).any())


@pytest.mark.parametrize(
    ("current", "start"),
    [
        ([1.2, -1.5, 0, 0], -0.5),  # fired at u = 1.7, ends at -0.8: lower by 1
        ([3, -4, 0, 0], -2.001),  # fired at u = 3.5, ends at -1.5: lower by 3.5 - 0.999
        ([-2, 0, 0, 3.6], 3.001),  # silent at -1.5, ends at 1.1: higher by 1.001 + 1.5
        ([0.2, -0.1, 2.7, 0.1], 1.5),  # silent at 0.7 and 0.6, ends at 1.4: higher by 1, more than 1.001 - 0.7
        ([0.3, 0.3, 0.3, 0.3], 0.5),  # 0.5 + 1.2 fires once and keeps 0.7
        ([2, 2, 2, 2], 0.5),  # ends above 1, but was never silent
        ([-1, 0, 0, 0], 0.5),  # ends below 0, but never fired
    ],
)
def test_cos_moves_the_start_by_hand(current, start):
    got = offset_start(torch.tensor(current, dtype=torch.float32)[:, None], SOFT)
    torch.testing.assert_close(got, torch.tensor([start]))


@pytest.mark.parametrize("offset", [-1, 1])
def test_cos_gives_one_spike_more_or_one_less(offset):
    """The correction's purpose: N moves by one where one spike came too many or too few."""
    current = torch.tensor([[3.0, -4, 0, 0], [-2, 0, 0, 3.6]][offset == 1])[:, None]
    counts = []
    for start in (torch.full_like(current[0], 0.5), offset_start(current, SOFT)):
        v, total = start, 0
        for i in current:
            v, z = step(v, i, 1.0, SOFT)
            total += int(z)
        counts.append(total)
    assert counts[1] - counts[0] == offset


@pytest.mark.parametrize("name", tiny_nets.WITH_VARIED)
@pytest.mark.parametrize("n_steps", [2, 4, 9])
def test_cos_brings_the_counts_of_a_network_to_those_of_its_ann(name, n_steps):
    """With rho = L = 4 the rates over 4 steps are nearer to the QCFS activations; fewer or more steps still run."""
    relu = fold_batchnorm(tiny_nets.ann(tiny_nets.WITH_VARIED["chain" if name == "varied" else name]()))
    x = tiny_nets.images(relu.architecture, 8)
    scales = activation_scales(relu, [x], 0.99)
    ann = as_qcfs(relu, 4, scales)
    net = convert(ann, scales, SOFT, n_steps)
    with torch.no_grad():
        wanted, _ = ann(x)
        plain, _ = net(x)
    logits = cos_logits(net, x, 4)
    assert logits.shape == plain.shape == (n_steps, 8, 3)
    if n_steps == 4:
        assert (logits.mean(0) - wanted).abs().mean() < (plain.mean(0) - wanted).abs().mean()


@pytest.mark.parametrize("function", [srp_logits, cos_logits])
def test_other_neurons_and_no_first_look_are_refused(function):
    _, net = tiny_nets.converted(tiny_nets.chain(), PROFILES["loihi"])
    x = tiny_nets.images(net.architecture)
    with pytest.raises(BadInput, match="is defined for neurons like those of profile 'qcfs_if', not for 'loihi'"):
        function(net, x)
    with pytest.raises(BadInput, match=r"is 0; its first .* needs at least 1 timestep"):
        function(twin()[0], x, 0)
