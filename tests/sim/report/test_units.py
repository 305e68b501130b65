import pytest
from hypothesis import given
from hypothesis import strategies as st
from spikeport.sim.report import units


@pytest.mark.parametrize(
    ("energy_pj", "text"),
    [(0, "0 pJ"), (0.92, "0.92 pJ"), (999, "999 pJ"), (1000, "1 nJ"), (189_645, "189.6 nJ"), (3.2e9, "3.2 mJ")],
)
def test_energies_take_the_prefix_that_leaves_one_to_a_thousand(energy_pj: float, text: str):
    assert units.joules(energy_pj) == text


@pytest.mark.parametrize(("amount", "text"), [(0, "0"), (9_999, "9,999"), (12.5, "12.5"), (146_285.25, "146.3 k")])
def test_counts_are_exact_while_they_are_short(amount: float, text: str):
    assert units.count(amount) == text


@given(st.floats(1e-3, 9e14))
def test_a_scale_puts_the_largest_amount_between_one_and_a_thousand(amount: float):
    assert 1 - 1e-9 <= units.scale_of([amount, amount / 7]).value(amount) < 1000


@given(st.floats(1e-15, 1e9))
def test_a_positive_amount_never_reads_as_zero(amount: float):
    text = units.Scale(1.0, "").text(amount)
    assert text == "<0.001" or float(text.replace(",", "")) > 0


def test_differences_carry_their_sign_and_no_change_has_none():
    assert [units.points(d) for d in (0.0256, -0.0028, 0.0, -0.00001)] == ["+2.56", "\u22120.28", "0.00", "0.00"]


def test_an_interval_and_its_accuracy_have_the_same_decimals():
    assert units.percent(353 / 360) == "98.06 %"
    assert units.interval((0.96039, 0.99053)) == "96.04\u201399.05 %"


def test_a_ratio_without_a_value_is_a_dash():
    assert [units.ratio(r) for r in (None, 4.8201, 1234.5)] == ["\u2014", "4.82×", "1,234×"]


@pytest.mark.parametrize(
    ("time_s", "text"), [(0.0, "0 ps"), (1.13e-7, "113 ns"), (4.88e-5, "48.8 µs"), (0.0123456, "12.35 ms"), (2, "2 s")]
)
def test_times_take_the_prefix_that_leaves_one_to_a_thousand(time_s: float, text: str):
    assert units.seconds(time_s) == text


@pytest.mark.parametrize(("value", "text"), [(0.855, "0.85"), (-0.12, "\u22120.12"), (-0.004, "0.00"), (1.0, "1.00")])
def test_a_coefficient_has_two_decimals_and_no_negative_zero(value: float, text: str):
    assert units.coefficient(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (2210.5, "2,210.500"), (12.0, "12"), (0.0001, "<0.001")])
def test_a_mean_count_is_whole_where_it_is_whole(value: float, text: str):
    assert units.amount(value) == text
