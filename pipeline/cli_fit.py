"""`spikeport fit`: how many cores and chips a network file takes, and what is full. It computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..hw import CHIPS, BadInput, DoesNotFit
from .cli_common import ChipName, Json, Layers, PayloadBits, Steps, say, say_json, table, told

if TYPE_CHECKING:
    from ..hw.placement import Placement


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(fit)


def fit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .net file, or a .nir file of ours.")],
    chip: ChipName = "loihi2",
    chips: Annotated[int | None, typer.Option("--chips", min=1, help="There are only so many chips.")] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="How memory and axons are counted, e.g. nengo; see docs/placement.md.")
    ] = None,
    core_map: Annotated[
        Path | None, typer.Option("--map", help="Draw which core holds what: a .png or .svg file.")
    ] = None,
    steps: Steps = None,
    payload_bits: PayloadBits = None,
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Lay a network out on a chip's cores: cores, utilisation, the bottleneck. Exit 2 if it does not fit."""
    with told():
        from ..hw.placement import advice, place_or_advise
        from .core_map import SUFFIXES, write
        from .toolbox.opening import Reading, open_network

        if core_map is not None and core_map.suffix not in SUFFIXES:
            raise BadInput(
                f"fit: found the suffix {core_map.suffix or '(none)'!r} for the map, expected {' or '.join(SUFFIXES)}"
            )
        network = open_network(file, Reading(n_steps=steps, payload_bits=payload_bits, num_layers=layers))
        placement = place_or_advise(network, CHIPS[chip], rule=rule, chips=chips)
        hints = advice(placement)
        others = _other_rules(placement)
        if core_map is not None:
            write(placement, core_map, str(file))
        if as_json:
            say_json(_document(placement, str(file), hints, others))
        else:
            _show(placement, str(file), hints, others)
            if core_map is not None:
                say(f"{core_map}: core map")


def _other_rules(placement: Placement) -> dict[str, str]:
    """What the chip's other published rules make of the network, by name."""
    from ..hw.placement import place

    found = {}
    for name in placement.chip.cores.rules:
        if name != placement.rule:
            try:
                other = place(placement.network, placement.chip, rule=name)
                found[name] = _size(len(other.cores), other.n_chips)
            except DoesNotFit as error:
                found[name] = f"does not fit: {error}"
    return found


def _show(placement: Placement, file: str, hints: tuple[str, ...], others: dict[str, str]) -> None:
    from ..hw.placement import RESOURCES, RULES

    chip, rule = placement.chip, RULES[placement.rule]
    fields = list(placement.shares())
    rows = []
    for population, _ in placement.network.neurons:
        name, shares = population.name, placement.shares(population.name)
        rows.append(
            (
                name,
                "x".join(map(str, population.shape)),
                str(population.size),
                str(len(placement.of(name))),
                str(placement.grids[name]),
                *(f"{shares[field]:.1%}" if field in shares else "" for field in fields),
                RESOURCES[placement.bottleneck(name)],
            )
        )
    columns = ("population", "output", "neurons", "cores", "cut", *(RESOURCES[f] for f in fields), "bottleneck")
    table(f"{file} on {chip.name}: use of the fullest core of each population", columns, rows)
    full = placement.bottleneck()
    where = next(
        p.name for p, _ in placement.network.neurons if placement.shares(p.name).get(full) == placement.shares()[full]
    )
    say(f"total: {_size(len(placement.cores), placement.n_chips)} of {chip.cores.per_chip} cores each")
    say(f"fullest: {placement.shares()[full]:.1%} of the {RESOURCES[full]} of a core of {where}")
    say(f"counted by: {rule.title} ({rule.scope})")
    for name, text in others.items():
        say(f"by {RULES[name].title}: {text}")
    if placement.unknown:
        say(f"limits not published: {', '.join(RESOURCES[field] for field in placement.unknown)}")
    for line in hints:
        say(f"advice: {line}")


def _document(placement: Placement, file: str, hints: tuple[str, ...], others: dict[str, str]) -> dict[str, Any]:
    """Schema `spikeport.fit/1`: shares are of the fullest core; an unknown limit is in `unknown` and has no share."""
    from ..hw.placement import RESOURCES

    return {
        "schema": "spikeport.fit/1",
        "file": file,
        "chip": placement.chip.name,
        "rule": placement.rule,
        "cores": len(placement.cores),
        "chips": placement.n_chips,
        "bottleneck": placement.bottleneck(),
        "shares": placement.shares(),
        "unknown": list(placement.unknown),
        "other_rules": others,
        "advice": list(hints),
        "populations": [
            {
                "name": p.name,
                "shape": list(p.shape),
                "neurons": p.size,
                "cores": len(placement.of(p.name)),
                "block": list(placement.grids[p.name].block),
                "bottleneck": placement.bottleneck(p.name),
                "shares": placement.shares(p.name),
            }
            for p, _ in placement.network.neurons
        ],
        "layout": [
            {
                "core": core.index,
                "chip": core.chip,
                "population": core.population,
                "start": list(core.part.start),
                "stop": list(core.part.stop),
                "usage": {field: getattr(core.usage, field) for field in RESOURCES},
            }
            for core in placement.cores
        ],
    }


def _size(cores: int, chips: int) -> str:
    return f"{cores} core{'s' * (cores > 1)} on {chips} chip{'s' * (chips > 1)}"
