"""CKA: its invariances, its two estimators, and what happens where there is nothing to compare."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.pipeline.cka import DatasetCka, center_unbiased, cka_biased, cka_unbiased, gram, hsic


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=rng(seed))


def song_hsic(x: torch.Tensor, y: torch.Tensor) -> float:
    """Unbiased HSIC as Song et al. write it: zero-diagonal Gram matrices, three terms."""
    n = len(x)
    k, other = (a.numpy() @ a.numpy().T for a in (x, y))
    np.fill_diagonal(k, 0)
    np.fill_diagonal(other, 0)
    ones = np.ones(n)
    trace = np.trace(k @ other)
    products = (ones @ k @ ones) * (ones @ other @ ones) / ((n - 1) * (n - 2))
    return (trace + products - 2 / (n - 2) * (ones @ k @ other @ ones)) / (n * (n - 3))


def feature_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    """Biased CKA without Gram matrices: ||Y'X||^2 / (||X'X|| ||Y'Y||) of centered features."""
    a, b = x.numpy() - x.numpy().mean(0), y.numpy() - y.numpy().mean(0)
    return float(np.linalg.norm(b.T @ a) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)))


@settings(deadline=None, max_examples=25)
@given(st.integers(4, 20), st.integers(1, 12), st.integers(1, 12), st.integers(0, 999))
def test_hsic_of_centered_gram_matrices_is_songs_estimator(n, p, q, seed):
    """T-C-1."""
    x, y = normal(n, p, seed=seed), normal(n, q, seed=seed + 1000)
    mine = hsic(center_unbiased(gram(x)), center_unbiased(gram(y)))
    assert float(mine) == pytest.approx(song_hsic(x, y), rel=1e-9, abs=1e-9)


def test_the_gram_form_is_the_feature_form():
    """T-C-1."""
    x, y = normal(20, 7), normal(20, 30, seed=1)
    assert float(cka_biased(x, y)) == pytest.approx(feature_cka(x, y), rel=1e-10)


@pytest.mark.parametrize("cka", [cka_biased, cka_unbiased])
def test_cka_is_one_for_itself_turned_scaled_and_shifted(cka):
    """T-C-1: invariant to orthogonal maps, isotropic scaling and a shift of every feature."""
    x = normal(24, 10)
    turned, _ = torch.linalg.qr(normal(10, 10, seed=1))
    for y in (x, x @ turned, 3.5 * x + normal(10, seed=2), (x + 1).reshape(24, 2, 5)):
        assert float(cka(x, y)) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("cka", [cka_biased, cka_unbiased])
def test_cka_is_symmetric_and_sees_a_general_linear_map(cka):
    """T-C-1."""
    x = normal(64, 40)
    y = x @ normal(40, 40, seed=1)
    assert float(cka(x, y)) == pytest.approx(float(cka(y, x)), abs=1e-12)
    assert float(cka(x, y)) < 0.97


def test_only_the_unbiased_estimator_tells_independent_data_apart():
    """T-C-1: 128 samples of 8192 features; the biased one tends to 1 / (1 + n / p) = 0.985."""
    x, y = (torch.randn(128, 8192, generator=rng(seed)) for seed in (0, 1))
    assert abs(float(cka_unbiased(x, y))) < 0.1
    assert float(cka_biased(x, y)) == pytest.approx(1 / (1 + 128 / 8192), abs=0.02)
    assert float(cka_biased(x, y)) > 0.95


@settings(deadline=None, max_examples=25)
@given(st.integers(4, 12), st.integers(1, 6), st.integers(0, 999))
def test_unbiased_cka_stays_within_one(n, p, seed):
    x, y = normal(n, p, seed=seed), normal(n, p, seed=seed + 1000)
    assert abs(float(cka_unbiased(x, y))) <= 1 + 1e-9


def test_rows_of_a_centered_matrix_sum_to_zero():
    centered = center_unbiased(gram(normal(9, 5)))
    assert float(centered.sum(0).abs().max()) < 1e-12
    assert not torch.diagonal(centered).any()


SILENT = {
    "zeros": torch.zeros(8, 6, dtype=torch.float64),
    "constant rows": torch.full((8, 6), 0.7, dtype=torch.float64),
    "one row repeated": normal(6, seed=3).expand(8, 6).clone(),
}


@pytest.mark.parametrize("name", SILENT)
@pytest.mark.parametrize("cka", [cka_biased, cka_unbiased])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_silent_or_constant_layer_has_no_alignment_and_no_gradient(cka, name, dtype):
    """T-C-2: 0, connected to the graph, against another layer and against itself."""
    x = SILENT[name].to(dtype, copy=True).requires_grad_()
    value = cka(x, normal(8, 5).to(dtype))
    value.backward()
    assert value.item() == 0
    assert x.grad is not None
    assert not x.grad.any()
    assert cka(x, x).item() == 0


@settings(deadline=None, max_examples=40)
@given(st.integers(4, 16), st.integers(1, 300), st.floats(1e-3, 1e3), st.integers(0, 999))
def test_a_constant_layer_of_any_size_has_no_alignment_in_single_precision(n, p, size, seed):
    """T-C-2: firing rates that are the same for every image, off zero, are no structure."""
    constant = (size * normal(p, seed=seed)).float().expand(n, p)
    assert cka_unbiased(constant, normal(n, 5, seed=seed).float()).item() == 0


@pytest.mark.parametrize("active", [1, 2])
def test_spikes_that_never_coincide_have_no_alignment_and_no_gradient(active):
    """T-C-2: one active sample, or two without a neuron in common: HSIC is 0, and no quotient of roundings."""
    x = torch.zeros(16, 300)
    for sample in range(active):
        x[sample, 10 * sample : 10 * sample + 3] = 0.25
    x.requires_grad_()
    value = cka_unbiased(x, normal(16, 40).float())
    value.backward()
    assert value.item() == 0
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize("offset", [0.0, 10.0, 300.0])
def test_a_large_offset_costs_no_precision(offset):
    """T-C-2: a shift of every feature leaves CKA alone, in single precision too."""
    x, y = (normal(24, 60, seed=seed).float() for seed in (0, 1))
    y = x + y
    shifted = x + offset
    exact = float(cka_unbiased(shifted.double(), y.double()))
    assert exact == pytest.approx(float(cka_unbiased(x.double(), y.double())), abs=1e-4)
    assert float(cka_unbiased(shifted, y)) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e6, 1e12])
def test_the_size_of_features_does_not_matter(size):
    """T-C-1: in single precision, whose squares of squares would leave its range; gradients scale with 1 / size."""
    x, y = normal(12, 30).float(), normal(12, 30, seed=1).float()
    plain, scaled = x.clone().requires_grad_(), (size * x).requires_grad_()
    values = [cka_unbiased(z, x + y) for z in (plain, scaled)]
    for value in values:
        value.backward()
    assert values[1].item() == pytest.approx(values[0].item(), abs=1e-5)
    torch.testing.assert_close(scaled.grad * size, plain.grad, rtol=1e-3, atol=1e-6)  # type: ignore[operator]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_than_four_samples_are_refused(n):
    """T-C-2."""
    with pytest.raises(BadInput, match=f"at least 4 samples in a batch, got {n}"):
        cka_unbiased(normal(n, 5), normal(n, 5))


def test_single_precision_agrees_with_double():
    """T-C-2: 1e-4, on features of very different scales and under autocast."""
    x, y = normal(32, 500).abs() * 50, (normal(32, 300, seed=1) > 1).double()
    y[:, :100] = x[:, :100]
    exact = float(cka_unbiased(x, y))
    assert float(cka_unbiased(x.float(), y.float())) == pytest.approx(exact, abs=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert float(cka_unbiased(x.float(), y.float())) == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("cka", [cka_biased, cka_unbiased])
def test_gradcheck(cka):
    """T-C-3."""
    x, y = normal(6, 5).requires_grad_(), normal(6, 3, seed=1)
    assert torch.autograd.gradcheck(lambda x: 1 - cka(x, y), (x,))
    assert torch.autograd.gradcheck(lambda x: 1 - cka(y, x), (x,))


def halves(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features that share half of what they hold, of samples whose scale varies."""
    shared, scale = normal(n, 6, seed=seed), 0.5 + torch.rand(n, 1, generator=rng(seed + 1))
    return (torch.cat([shared, normal(n, 6, seed=seed + k)], 1) * scale for k in (2, 3))  # type: ignore[return-value]


def test_accumulation_over_batches_is_cka_of_the_data_set_and_no_mean_of_ratios():
    """T-000-4: within .05 of one full batch; each HSIC sum is divided once."""
    x, y = halves(640, 5)
    batches = list(zip(x.split(10), y.split(10), strict=True))
    measure = DatasetCka()
    for a, b in batches:
        measure.add(a, b)
    ratios = sum(float(cka_unbiased(a, b)) for a, b in batches) / len(batches)
    sums = [sum(song_hsic(a, b) for a, b in pairs) for pairs in (batches, [(a, a) for a, _ in batches])]
    own = sum(song_hsic(b, b) for _, b in batches)
    assert measure.value() == pytest.approx(sums[0] / (sums[1] * own) ** 0.5, rel=1e-9)
    assert abs(measure.value() - float(cka_unbiased(x, y))) < 0.05
    assert abs(measure.value() - ratios) > 1e-3


@pytest.mark.parametrize("name", SILENT)
def test_a_data_set_on_which_one_side_never_varies_has_no_alignment(name):
    """T-C-2."""
    measure = DatasetCka()
    assert measure.value() == 0
    for seed in range(3):
        measure.add(SILENT[name].float(), normal(8, 3, seed=seed))
    assert measure.value() == 0
