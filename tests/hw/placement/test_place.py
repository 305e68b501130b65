"""Where a network lies: every neuron on one core, no core beyond a limit, and what does not fit is refused by name."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from spikeport import hw
from spikeport.hw.placement import RESOURCES, RULES, Grid, Part, advice, place, place_or_advise
from spikeport.hw.placement.parts import grids
from spikeport.hw.placement.weights import weight_bits

from .nets import LOIHI1, LOIHI2, dense, mixed, network, tiny, weights

LAYOUTS = [(LOIHI1, "nxtf"), (LOIHI1, "nengo"), (LOIHI2, "loihi2")]


@settings(max_examples=60, deadline=None)
@given(mixed(), st.sampled_from(LAYOUTS), st.sampled_from([9, 30, 1024]), st.sampled_from([40, 100, 4096]))
def test_every_neuron_lies_on_one_core_and_no_core_exceeds_a_limit(net, layout, compartments, output_axons):
    chip, rule = layout
    chip = tiny(chip, compartments=compartments, per_chip=5, destination_groups=4)
    if rule != "loihi2":
        chip = tiny(chip, output_axons=output_axons)
    try:
        placement = place(net, chip, rule=rule)
    except hw.DoesNotFit:
        reject()
    for population, _ in net.neurons:
        times = np.zeros(population.shape, int)
        for core in placement.of(population.name):
            times[core.part.slices] += 1
        assert (times == 1).all()
        assert sum(core.part.size for core in placement.of(population.name)) == population.size
    for core in placement.cores:
        for field, used in core.usage.amounts():
            limit = getattr(chip.cores, field)
            assert limit is None or used <= limit, field
        assert core.part.size <= core.usage.compartments
    assert {core.population for core in placement.cores} == {p.name for p, _ in net.neurons}
    assert [core.index for core in placement.cores] == list(range(len(placement.cores)))
    assert [core.chip for core in placement.cores] == [core.index // 5 for core in placement.cores]
    assert placement.n_chips == 1 + placement.cores[-1].chip


@settings(max_examples=60, deadline=None)
@given(mixed(), st.integers(4, 40), st.integers(8, 400))
def test_no_cut_into_fewer_cores_would_fit(net, compartments, words):
    chip = tiny(LOIHI2, compartments=compartments, synapse_words=words)
    try:
        placement = place(net, chip)
    except hw.DoesNotFit:
        reject()
    for population, _ in net.neurons:
        for grid in grids(population.shape):
            if grid.n_parts < len(placement.of(population.name)):
                assert any(not fits(net, population, grid, part, chip) for part in grid.parts())


def fits(net, population, grid, part, chip):
    """Whether a part keeps to the compartments and the memory of a core."""
    words = sum(
        RULES["loihi2"].load(c, net[c.source].shape, grid, part, weight_bits(c, {})).synapse_words
        for c in net.incoming(population.name)
    )
    return part.size <= chip.cores.compartments and words <= chip.cores.synapse_words


@settings(max_examples=100, deadline=None)
@given(mixed(), st.sampled_from(LAYOUTS), st.data())
def test_a_smaller_part_takes_no_more(net, layout, data):
    """Of all resources but NxTF's input axons and memory, see the next tests."""
    _, rule = layout
    connection = data.draw(st.sampled_from(net.connections))
    shape = net[connection.target].shape
    block = tuple(data.draw(st.integers(1, n)) for n in shape)
    smaller = tuple(data.draw(st.integers(1, n)) for n in block)
    start = (0,) * len(shape)
    source, bits = net[connection.source].shape, weight_bits(connection, {})
    large, small = (
        RULES[rule].load(connection, source, Grid(shape, sides), Part(start, sides), bits) for sides in (block, smaller)
    )
    fields = {
        "nxtf": ["compartments"],
        "nengo": ["compartments", "synapse_words", "input_axons"],
        "loihi2": ["compartments", "synapse_words"],
    }[rule]
    for field in fields:
        assert getattr(small, field) <= getattr(large, field), field


def test_a_cut_can_raise_nxtfs_memory_because_fewer_columns_share_a_list():
    """2 x 2 taps, padding 1, 5 columns to 6: half as many columns of targets, but one list of synapses more."""
    connection = hw.Conv(source="a", target="b", weight=weights(1, 1, 2, 2), padding=(1, 1))
    grids_of = [Grid((1, 4, 6), sides) for sides in ((1, 1, 6), (1, 1, 3))]
    usage = [RULES["nxtf"].load(connection, (1, 3, 5), grid, Part((0, 0, 0), grid.block), 8) for grid in grids_of]
    assert usage[1].compartments < usage[0].compartments
    assert usage[1].synapse_words > usage[0].synapse_words


def test_a_cut_can_raise_nxtfs_input_axons_because_only_one_core_may_share_an_axon():
    connection = hw.Conv(source="in", target="a", weight=weights(2, 1, 3, 3))
    whole, half = Grid((2, 6, 6), (2, 6, 6)), Grid((2, 6, 6), (1, 6, 6))
    usage = [RULES["nxtf"].load(connection, (1, 8, 8), grid, next(grid.parts()), 8) for grid in (whole, half)]
    assert usage[0].input_axons == 8  # one per column
    assert usage[1].input_axons == 8 * 8  # every neuron now sends to two cores, each by an axon of its own


@given(st.lists(st.integers(1, 9), min_size=1, max_size=1) | st.lists(st.integers(1, 5), min_size=3, max_size=3))
def test_every_grid_covers_its_population_and_they_come_in_order_of_size(shape):
    found = grids(tuple(shape))
    assert [grid.n_parts for grid in found] == sorted(grid.n_parts for grid in found)
    assert found[0].n_parts == 1
    assert found[-1].n_parts == np.prod(shape)
    for grid in found:
        parts = list(grid.parts())
        assert len(parts) == len(set(parts)) == grid.n_parts
        assert sum(part.size for part in parts) == np.prod(shape)
        assert grid.middle() in parts


def test_a_grid_and_a_part_say_what_they_are():
    assert str(Grid((4, 6, 6), (4, 6, 6))) == "whole"
    assert str(Grid((4, 6, 6), (2, 3, 6))) == "blocks of 2 channels x 3 rows"
    assert str(Part((0, 3, 0), (2, 6, 6))) == "channels 0..1, rows 3..5, columns 0..5"
    assert str(Part((3,), (8,))) == "neurons 3..7"


def test_a_network_that_fits_one_core():
    net = dense(784, 128)
    placement = place(net, LOIHI1, rule="nengo")
    (core,) = placement.cores
    assert core.usage.synapse_words == 14112
    assert (core.usage.compartments, core.usage.input_axons, core.usage.output_axons) == (128, 784, 0)
    assert placement.bottleneck() == "synapse_words"
    assert placement.shares()["synapse_words"] == 14112 / 16384
    assert placement.n_chips == 1


def test_a_network_that_needs_several_cores():
    net = dense(784, 150)  # 16464 words on one core of 16384
    placement = place(net, LOIHI1, rule="nengo")
    assert [core.part.size for core in placement.cores] == [75, 75]
    assert placement.n_chips == 1
    assert len(place(net, LOIHI1, rule="nxtf").cores) == 1  # 20 words per row where nengo-loihi counts 21


def test_nxtf_leaves_one_word_of_a_core_empty():
    assert len(place(dense(1023, 120), LOIHI1, rule="nxtf").cores) == 1  # 16 words per row
    assert len(place(dense(1024, 120), LOIHI1, rule="nxtf").cores) == 2  # 16384 words


def test_a_network_that_needs_several_chips():
    connection = hw.Conv(source="in", target="a", weight=weights(16, 1, 3, 3), padding=(1, 1))
    net = network({"in": (1, 100, 100), "a": (16, 100, 100)}, [connection])
    placement = place(net, LOIHI1)
    assert len(placement.cores) >= 160000 / 1024
    assert placement.n_chips == 2
    with pytest.raises(hw.DoesNotFit, match=rf"network: {len(placement.cores)} cores exceed the 128 of 1 loihi1 chip"):
        place(net, LOIHI1, chips=1)
    assert place(net, LOIHI1, chips=2).n_chips == 2


@pytest.mark.parametrize("rule", ["nxtf", "nengo"])
def test_a_network_that_fits_no_chip_is_refused_with_the_resource_the_amount_and_the_limit(rule):
    with pytest.raises(
        hw.DoesNotFit, match=r"^l1: 5000 input axons exceed loihi1's 4096 per core even with one neuron per core$"
    ):
        place(dense(5000, 20), LOIHI1, rule=rule)


def test_a_neuron_that_sends_to_more_cores_than_its_table_holds_is_refused():
    with pytest.raises(
        hw.DoesNotFit, match=r"l1: 5 output axons exceed loihi1's 4 per core even with one neuron per core$"
    ):
        place(dense(3, 2, 5), tiny(LOIHI1, compartments=1, output_axons=4), rule="nengo")
    with pytest.raises(
        hw.DoesNotFit, match=r"l1: 10 output axons exceed .* 9 per core .*, its targets on other chips$"
    ):
        place(dense(3, 2, 5), tiny(LOIHI1, compartments=1, output_axons=9, per_chip=1))


def test_an_axon_to_another_chip_takes_a_second_entry():
    net = dense(3, 2, 4)
    chip = tiny(LOIHI1, compartments=2, per_chip=2)
    placement = place(net, chip)
    assert [core.chip for core in placement.cores] == [0, 0, 1]
    assert placement.cores[0].usage.output_axons == 2 * (1 + 2)  # two neurons; one core is near, the other far


def test_where_chips_leave_too_little_room_all_is_cut_as_if_targets_were_far():
    net = dense(3, 4, 4)
    chip = tiny(LOIHI1, compartments=4, per_chip=1)
    assert len(place(net, tiny(chip, output_axons=12)).cores) == 2
    near = tiny(chip, output_axons=8)  # four neurons take 2 entries each to a near core, 3 to a far one
    assert [core.part.size for core in place(net, near).of("l1")] == [2, 2]


def test_recurrent_spikes_count_among_what_a_core_sends_and_receives():
    loop = hw.Dense(source="a", target="a", weight=weights(6, 6))
    net = network({"in": (3,), "a": (6,)}, [hw.Dense(source="in", target="a", weight=weights(6, 3)), loop])
    first, second = place(net, tiny(LOIHI1, compartments=3), rule="nengo").cores
    assert first.usage == second.usage
    assert (first.usage.input_axons, first.usage.output_axons) == (3 + 6, 3 * 2)


def test_the_connections_of_a_residual_population_add_up():
    first = hw.Conv(source="in", target="a", weight=weights(2, 1, 3, 3), padding=(1, 1))
    second = hw.Conv(source="a", target="b", weight=weights(2, 2, 3, 3), padding=(1, 1))
    shapes = {"in": (1, 5, 5), "a": (2, 5, 5), "b": (2, 5, 5)}
    plain = place(network(shapes, [first, second]), LOIHI2)
    skip = hw.OneToOne(source="a", target="b", weight=np.array(8))  # of 1 bit, beside weights of 8 from the same source
    joined = place(network(shapes, [first, second, skip]), LOIHI2)
    assert joined.of("b")[0].usage.synapse_words == plain.of("b")[0].usage.synapse_words + 1


def test_delays_take_synaptic_memory():
    late = hw.Dense(
        source="in", target="a", weight=weights(60, 3), delay=np.full((60, 1), 5) + np.arange(60)[:, None] % 2
    )
    prompt = hw.Dense(source="in", target="a", weight=weights(60, 3))
    words = [
        place(network({"in": (3,), "a": (60,)}, [c]), LOIHI1, rule="nengo").cores[0].usage.synapse_words
        for c in (prompt, late)
    ]
    assert words == [3 * 8, 3 * 11]  # 60 * 8 + 10 and 60 * (8 + 3) + 10 bits


def test_a_chip_says_which_limits_are_not_published():
    assert place(dense(3, 2), LOIHI2).unknown == ("input_axons", "output_axons")
    assert place(dense(3, 2), LOIHI1).unknown == ()


def test_a_core_knows_whose_spikes_it_receives():
    connection = hw.Conv(source="in", target="a", weight=weights(1, 1, 1, 1), stride=(2, 1))
    net = network({"in": (1, 4, 2), "a": (1, 2, 2)}, [connection])
    placement = place(net, tiny(LOIHI2, compartments=2))
    listens = [placement.listens(core, connection)[0].tolist() for core in placement.cores]
    assert listens == [
        [[True, True], [False, False], [False, False], [False, False]],
        [[False, False], [False, False], [True, True], [False, False]],
    ]
    assert placement.destinations(connection)[0].tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]


def test_a_core_of_another_population_does_not_listen_to_a_connection():
    net = dense(3, 2, 2)
    placement = place(net, LOIHI1)
    with pytest.raises(hw.BadInput, match="core 1 holds l2, the connection leads to l1"):
        placement.listens(placement.cores[1], net.connections[0])


def test_an_unknown_rule_names_those_of_the_chip():
    with pytest.raises(hw.BadInput, match=r"loihi1: unknown layout rule 'nexft': did you mean 'nxtf'\?"):
        place(dense(3, 2), LOIHI1, rule="nexft")


def test_a_network_of_sources_alone_has_nothing_to_place():
    source = hw.Population(name="in", shape=(3,), neuron=hw.Source())
    net = hw.Network(populations=(source,), connections=(), readout=hw.Readout(population="in"), n_steps=1)
    with pytest.raises(hw.BadInput, match="no population computes, there is nothing to place"):
        place(net, LOIHI1)


def test_no_chips_hold_nothing():
    with pytest.raises(hw.BadInput, match="loihi1: 0 chips hold nothing"):
        place(dense(3, 2), LOIHI1, chips=0)


def test_a_refusal_says_how_many_chips_would_do_and_they_do():
    net, chip = dense(3, 8), tiny(LOIHI1, compartments=2, per_chip=2)
    with pytest.raises(hw.DoesNotFit) as refused:
        place_or_advise(net, chip, chips=1)
    n = int(re.search(r"; (\d+) chips would hold it", str(refused.value)).group(1))
    assert place(net, chip, chips=n).n_chips == n == 2


def test_a_refusal_says_how_many_weight_bits_would_do_and_they_do():
    net, chip = dense(64, 64), tiny(LOIHI1, per_chip=1, synapse_words=450)
    with pytest.raises(hw.DoesNotFit) as refused:
        place_or_advise(net, chip, chips=1)
    n = int(re.search(r"; (\d)-bit weights would fit on 1 core of 1 chip", str(refused.value)).group(1))
    (connection,) = net.connections
    assert len(place(net, chip, chips=1, bits={connection: n}).cores) == 1
    with pytest.raises(hw.DoesNotFit):
        place(net, chip, chips=1, bits={connection: n + 1})


def test_a_refusal_names_another_chip_that_would_hold_it_and_what_is_not_known_of_that():
    with pytest.raises(
        hw.DoesNotFit,
        match=r"loihi2 would hold it on (\d+) cores? of 1 chip \(not published: input axons, output axons\)",
    ) as refused:
        place_or_advise(dense(5000, 20), LOIHI1)
    n = int(re.search(r"on (\d+) core", str(refused.value)).group(1))
    assert len(place(dense(5000, 20), LOIHI2).cores) == n


def test_a_refusal_says_when_nothing_tried_would_help():
    with pytest.raises(hw.DoesNotFit, match="no fewer weight bits, other chip or more chips would hold it"):
        place_or_advise(dense(60000, 2), LOIHI1)


def test_advice_gives_the_widest_weights_that_save_a_core_and_what_they_give():
    net = dense(784, 150)
    placement = place(net, LOIHI1, rule="nengo")
    assert advice(placement) == ("l1: 6-bit weights would take 1 core instead of 2; 1 in all instead of 2",)
    assert [len(place(net, LOIHI1, rule="nengo", bits={net.connections[0]: n}).cores) for n in (6, 7)] == [1, 2]


def test_there_is_no_advice_where_memory_is_not_what_is_full():
    assert advice(place(dense(4, 2000, largest=2), LOIHI1, rule="nengo")) == ()
    assert advice(place(dense(4, 3), LOIHI1)) == ()


def test_every_rule_of_every_chip_exists_and_every_limit_is_a_resource_of_a_core():
    for chip in hw.CHIPS.values():
        assert set(chip.cores.rules) <= set(RULES)
        assert set(chip.cores.sources) == {"per_chip", *RESOURCES, "mesh"}


def test_a_part_that_reads_nothing_but_padding_takes_no_synapses():
    connection = hw.Conv(source="a", target="b", weight=weights(1, 1, 1, 1), padding=(2, 0))
    grid = Grid((1, 5, 3), (1, 1, 3))
    usage = RULES["nxtf"].load(connection, (1, 1, 3), grid, Part((0, 0, 0), (1, 1, 3)), 8)
    assert (usage.synapse_words, usage.words_per_axon) == (0, 0)
