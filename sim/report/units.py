"""Numbers as text: percent, counts and energies, each written one way everywhere in a report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MINUS = "\u2212"
_PREFIXES = (
    (1e-12, "p"),
    (1e-9, "n"),
    (1e-6, "µ"),
    (1e-3, "m"),
    (1.0, ""),
    (1e3, "k"),
    (1e6, "M"),
    (1e9, "G"),
    (1e12, "T"),
)
PICO = 1e-12


@dataclass(frozen=True)
class Scale:
    """One SI prefix for a whole column or axis, so that its numbers can be compared by eye."""

    factor: float
    prefix: str

    def value(self, amount: float) -> float:
        """`amount` in this prefix."""
        return amount / self.factor

    def text(self, amount: float) -> str:
        """`amount` in this prefix with three decimals; a positive amount never reads as zero."""
        scaled = amount / self.factor
        if 0 < scaled < 0.0005:
            return "<0.001"
        return f"{scaled:,.3f}"

    def whole(self, amount: float) -> str:
        """As `text`, but without decimals where the prefix is empty and the amount is a whole number."""
        return f"{int(amount):,}" if self.factor == 1.0 and amount == int(amount) else self.text(amount)


def scale_of(amounts: Iterable[float], *, smallest: float = PICO) -> Scale:
    """The prefix that puts the largest of `amounts` into 1..1000; `smallest` is the least factor allowed."""
    top = max(amounts, default=0.0)
    fitting = [p for p in _PREFIXES if p[0] >= smallest * 0.999 and (p[0] <= top * (1 + 1e-12) or p[0] <= smallest)]
    return Scale(*(fitting or [next(p for p in _PREFIXES if p[0] >= smallest * 0.999)])[-1])


def count_scale(amounts: Iterable[float]) -> Scale:
    """The prefix for counts: none, k, M or G."""
    return scale_of(amounts, smallest=1.0)


def count(amount: float) -> str:
    """A count in prose: exact below ten thousand, then four significant digits with a prefix ("45.31 k")."""
    if amount < 10_000:
        return f"{int(amount):,}" if amount == int(amount) else f"{amount:,.1f}"
    scale = count_scale([amount])
    return f"{scale.value(amount):.4g} {scale.prefix}"


def joules(energy_pj: float) -> str:
    """An energy in prose, from picojoules: four significant digits and a prefix ("1.234 µJ")."""
    scale = scale_of([energy_pj * PICO])
    return f"{scale.value(energy_pj * PICO):.4g} {scale.prefix}J"


def percent(fraction: float) -> str:
    """A fraction of 0..1 as percent with two decimals ("98.33 %")."""
    return f"{100 * fraction:.2f} %"


def interval(ci95: tuple[float, float]) -> str:
    """A 95 % interval in percent ("96.41–99.23 %")."""
    return f"{100 * ci95[0]:.2f}\u2013{100 * ci95[1]:.2f} %"


def points(difference: float) -> str:
    """A difference of two accuracies in percentage points, signed ("−0.28")."""
    text = f"{100 * difference:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", MINUS)


def rate(value: float) -> str:
    """Spikes per neuron, or per neuron and timestep: three decimals; a positive rate never reads as zero."""
    return "<0.001" if 0 < value < 0.0005 else f"{value:,.3f}"


def ratio(value: float | None) -> str:
    """How many times, with three significant digits ("13.2×"); a dash where it has no value."""
    if value is None:
        return "\u2014"
    return f"{value:.3g}×" if value < 1000 else f"{value:,.0f}×"


def amount(value: float) -> str:
    """A mean count in a table: whole where it is whole, else with three decimals; a positive one never reads as 0."""
    return Scale(1.0, "").whole(value)


def seconds(time_s: float) -> str:
    """A time in prose: four significant digits and a prefix ("48.8 µs")."""
    scale = scale_of([time_s])
    return f"{scale.value(time_s):.4g} {scale.prefix}s"


def share(fraction: float) -> str:
    """A used part of a resource as percent with one decimal ("97.7 %")."""
    return f"{100 * fraction:.1f} %"


def coefficient(value: float) -> str:
    """A correlation or similarity with two decimals ("0.86", "−0.12")."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", MINUS)
