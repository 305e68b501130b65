"""The network value: what it refuses, that it is frozen, and when two are the same."""

import dataclasses
import re

import numpy as np
import pytest
from spikeport import hw
from spikeport.hw.registry import import_siblings


def dense(out=2, size=3, **fields):
    return hw.Dense(weight=np.ones((out, size), np.int16), **{"source": "in", "target": "out", **fields})


def conv(weight_shape=(4, 2, 3, 3), **fields):
    return hw.Conv(source="in", target="out", weight=np.ones(weight_shape, np.int16), **fields)


def network(*, connections=None, populations=None, readout="out", n_steps=4):
    return hw.Network(
        populations=populations
        or (
            hw.Population(name="in", shape=(3,), neuron=hw.Source()),
            hw.Population(name="out", shape=(2,), neuron=hw.Cuba(v_th_mant=10)),
        ),
        connections=(dense(),) if connections is None else connections,
        readout=hw.Readout(population=readout),
        n_steps=n_steps,
    )


def with_output(shape, connection, source=(2, 5, 4), **neuron):
    return network(
        populations=(
            hw.Population(name="in", shape=source, neuron=hw.Source()),
            hw.Population(name="out", shape=shape, neuron=hw.Cuba(v_th_mant=10, **neuron)),
        ),
        connections=(connection,),
    )


@pytest.mark.parametrize("n_steps", [0, -1])
def test_a_sample_lasts_at_least_one_timestep(n_steps):
    with pytest.raises(hw.BadInput, match=f"n_steps is {n_steps}; a sample lasts at least 1"):
        network(n_steps=n_steps)


def test_population_names_are_unique():
    twice = tuple(hw.Population(name="in", shape=(3,), neuron=hw.Source()) for _ in range(2))
    with pytest.raises(hw.BadInput, match="names are not unique"):
        network(populations=twice, connections=(), readout="in")


def test_readout_names_a_population():
    with pytest.raises(hw.BadInput, match="read-out population 'nobody' is not one of"):
        network(readout="nobody")


@pytest.mark.parametrize("end", ["source", "target"])
def test_connections_name_populations(end):
    with pytest.raises(hw.BadInput, match="a connection names 'nobody'"):
        network(connections=(dense(**{end: "nobody"}),))


def test_a_source_has_no_input():
    with pytest.raises(hw.BadInput, match="in: a source population cannot have incoming"):
        network(connections=(dense(), dense(source="out", target="in")))


def test_a_neuron_population_has_input():
    with pytest.raises(hw.BadInput, match="out: no connection leads to it"):
        network(connections=())


def test_a_population_may_speak_to_itself():
    loop = hw.Dense(source="out", target="out", weight=np.ones((2, 2), np.int16))
    net = network(connections=(dense(), loop))
    assert net.recurrent("out") == (loop,)
    assert loop.recurrent
    assert not net.connections[0].recurrent


def test_a_population_that_hears_only_itself_is_refused():
    loop = hw.Dense(source="out", target="out", weight=np.ones((2, 2), np.int16))
    with pytest.raises(hw.BadInput, match="out: no connection leads to it"):
        network(connections=(loop,))


def test_only_dense_connections_are_recurrent():
    loop = hw.OneToOne(source="out", target="out", weight=np.int16(-3))
    with pytest.raises(hw.UnsupportedLayer, match="out -> out: only dense connections may be recurrent"):
        network(connections=(dense(), loop))


def test_a_loop_over_several_populations_is_refused():
    back = hw.Dense(source="out", target="mid", weight=np.ones((2, 2), np.int16))
    populations = (
        hw.Population(name="in", shape=(3,), neuron=hw.Source()),
        hw.Population(name="mid", shape=(2,), neuron=hw.Cuba(v_th_mant=10)),
        hw.Population(name="out", shape=(2,), neuron=hw.Cuba(v_th_mant=10)),
    )
    forth = hw.Dense(source="mid", target="out", weight=np.ones((2, 2), np.int16))
    with pytest.raises(hw.UnsupportedLayer, match="out -> mid: the source must come before its target"):
        network(populations=populations, connections=(dense(target="mid"), forth, back))


def test_one_to_one_keeps_the_shape():
    link = hw.OneToOne(source="in", target="out", weight=np.int16(3))
    assert link.out_shape((2, 5, 4)) == (2, 5, 4)
    assert with_output((2, 5, 4), link)["out"].shape == (2, 5, 4)


def test_equal_delays_are_one_delay():
    weight = np.ones((2, 3), np.int16)
    link = hw.Dense(source="in", target="out", weight=weight, delay=np.full((2, 3), 7))
    assert link.delay.shape == ()
    assert link.max_delay == 7


@pytest.mark.parametrize(
    ("delay", "message"),
    [
        (63, "a delay of 63 timesteps is outside 0..62"),
        (-1, "a delay of -1 timesteps is outside 0..62"),
        (1.5, "delays are whole timesteps, got float64"),
        (np.zeros(3, int), r"delays of shape \(3,\) do not fit the weight \(2, 3\)"),
    ],
)
def test_delays_a_synapse_cannot_hold_are_refused(delay, message):
    with pytest.raises(hw.BadInput, match=message):
        hw.Dense(source="in", target="out", weight=np.ones((2, 3), np.int16), delay=delay)


def test_a_delay_changes_the_fingerprint_and_no_delay_does_not():
    plain, zero, late = (
        network(connections=(dense(**ends),)).fingerprint()
        for ends in ({}, {"delay": np.zeros((2, 3), int)}, {"delay": np.array([[1], [0]])})
    )
    assert plain == zero != late


@pytest.mark.parametrize(("bits", "low", "high"), [(2, -2, 1), (8, -128, 127)])
def test_a_signed_payload_is_in_twos_complement(bits, low, high):
    source = hw.Source(payload_bits=bits, signed=True)
    assert (source.min_payload, source.max_payload) == (low, high)


def test_a_signed_payload_takes_two_bits():
    with pytest.raises(hw.BadInput, match="a signed payload of 1 bits holds no positive number"):
        hw.Source(payload_bits=1, signed=True)


@pytest.mark.parametrize("exponent", [-1, 8])
def test_a_bias_exponent_has_three_bits(exponent):
    with pytest.raises(hw.BadInput, match=f"bias_exp is {exponent}, outside 0..7"):
        hw.Cuba(v_th_mant=1, bias_exp=exponent)


def test_populations_come_in_topological_order():
    backwards = tuple(reversed(network().populations))
    with pytest.raises(hw.UnsupportedLayer, match="in -> out: the source must come before its target"):
        network(populations=backwards)


def test_declared_shape_must_be_the_computed_one():
    with pytest.raises(hw.BadInput, match=re.escape("in -> out: gives (4, 3, 2), expected (4, 3, 3)")):
        with_output((4, 3, 3), conv())


def test_dense_counts_its_inputs():
    with pytest.raises(hw.BadInput, match=re.escape("the weight (2, 5) takes 5 inputs, but in (3,) has 3 neurons")):
        network(connections=(dense(size=5),))


def test_conv_needs_an_image():
    with pytest.raises(hw.BadInput, match=re.escape("needs a source of shape (C, H, W), but in has (3,)")):
        network(connections=(conv(),))


def test_conv_counts_its_channels():
    with pytest.raises(hw.BadInput, match=re.escape("the weight takes 4 channels, but in (2, 5, 4) has 2")):
        with_output((4, 3, 2), conv(groups=2))


def test_kernel_must_fit_the_image():
    # A kernel of 3 dilated by 2 reaches over 5 > 4 columns.
    with pytest.raises(hw.BadInput, match="a kernel reaching over 5 does not fit"):
        with_output((4, 1, 1), conv(dilation=(2, 2)))


@pytest.mark.parametrize(
    ("geometry", "shape"),
    [
        ({}, (4, 3, 2)),  # 5 - 3 + 1, 4 - 3 + 1
        ({"padding": (1, 0)}, (4, 5, 2)),
        ({"stride": (2, 1), "padding": (1, 1)}, (4, 3, 4)),  # (5 + 2 - 3) // 2 + 1
        ({"dilation": (2, 1)}, (4, 1, 2)),  # 5 - 5 + 1
    ],
)
def test_conv_shapes(geometry, shape):
    assert conv(**geometry).out_shape((2, 5, 4)) == shape


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"stride": (0, 1)}, r"stride \(0, 1\) must be two integers >= 1"),
        ({"padding": (0, -1)}, r"padding \(0, -1\) must be two integers >= 0"),
        ({"dilation": (1, 1, 1)}, r"dilation \(1, 1, 1\) must be two integers >= 1"),
        ({"groups": 3}, "groups=3 does not divide 4 channels"),
        ({"groups": 0}, "groups=0 does not divide 4 channels"),
    ],
)
def test_conv_geometry_is_checked(fields, match):
    with pytest.raises(hw.BadInput, match=match):
        conv(**fields)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.ones((2, 3)), "weights are integers, got float64"),
        (np.ones((2, 3, 1), np.int16), r"has 2 axes, got shape \(2, 3, 1\)"),
        (np.ones((0, 3), np.int16), r"has 2 axes, got shape \(0, 3\)"),
        (np.full((2, 3), 32768), "weight 32768 is beyond 16 bits"),
        (np.full((2, 3), -32768, np.int16), "weight -32768 is beyond 16 bits"),
        (np.full((2, 3), 2**64 - 1, np.uint64), f"weight {2**64 - 1} is beyond 16 bits"),
    ],
)
def test_weights_are_small_integers(weight, match):
    with pytest.raises(hw.BadInput, match=match):
        hw.Dense(source="in", target="out", weight=weight)


@pytest.mark.parametrize("shape", [(), (4,), (4, 3, 2)])
def test_bias_covers_its_population(shape):
    population = with_output((4, 3, 2), conv(), bias_mant=np.ones(shape, np.int32))["out"]
    assert population.neuron.bias_over(population.shape).sum() == 4 * 3 * 2


def test_bias_per_channel_is_not_per_column():
    neuron = hw.Cuba(v_th_mant=1, bias_mant=np.array([1, 2]))
    assert neuron.bias_over((2, 2, 2))[:, 0, 0].tolist() == [1, 2]


def test_bias_of_another_shape_is_refused():
    with pytest.raises(hw.BadInput, match=re.escape("out: a bias of shape (5,) does not cover (4, 3, 2)")):
        with_output((4, 3, 2), conv(), bias_mant=np.ones(5, np.int32))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"bias_mant": np.array([0.5])}, "the bias is float64, a mantissa is an integer"),
        ({"bias_mant": np.array([np.nan])}, "the bias is float64"),
        ({"bias_mant": np.array([1 << 31])}, "bias mantissa 2147483648 is beyond 32 bits"),
        ({"v_th_mant": 1.5}, "v_th_mant is 1.5, a neuron parameter is an integer"),
        ({"v_decay": 0.1}, "v_decay is 0.1, a neuron parameter is an integer"),
    ],
)
def test_neuron_parameters_are_integers(fields, match):
    with pytest.raises(hw.BadInput, match=match):
        hw.Cuba(**{"v_th_mant": 1, **fields})


@pytest.mark.parametrize("shape", [(), (0,), (2, -1, 3)])
def test_shapes_are_positive(shape):
    with pytest.raises(hw.BadInput, match="must hold positive sizes"):
        hw.Population(name="a", shape=shape, neuron=hw.Source())


@pytest.mark.parametrize("bits", [-1, 25])
def test_payload_bits_are_bounded(bits):
    with pytest.raises(hw.BadInput, match=f"payload_bits is {bits}, a spike carries 0..24"):
        hw.Source(payload_bits=bits)


def test_largest_payload():
    assert [hw.Source(payload_bits=bits).max_payload for bits in (0, 1, 8)] == [1, 1, 255]


def test_arrays_are_frozen_and_the_callers_own_stay_apart():
    weight = np.ones((2, 3), np.int16)
    connection = hw.Dense(source="in", target="out", weight=weight)
    weight[0, 0] = 7
    assert connection.weight[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        connection.weight[0, 0] = 7
    with pytest.raises(ValueError, match="read-only"):
        hw.Cuba(v_th_mant=1, bias_mant=np.zeros(3, np.int32)).bias_mant[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        connection.source = "elsewhere"  # type: ignore[misc]


def test_graph_questions():
    net = network()
    assert net["out"].size == 2
    assert [p.name for p in net.sources] == ["in"]
    assert [p.name for p, _ in net.neurons] == ["out"]
    assert net.incoming("out") == net.outgoing("in") == net.connections
    with pytest.raises(KeyError, match="nobody"):
        net["nobody"]


def test_equal_networks_are_the_same_whatever_their_integers_are_made_of():
    other = network(
        populations=(
            hw.Population(name="in", shape=(np.int64(3),), neuron=hw.Source()),
            hw.Population(name="out", shape=(2,), neuron=hw.Cuba(v_th_mant=np.int64(10), bias_mant=np.zeros(2, int))),
        ),
        connections=(hw.Dense(source="in", target="out", weight=np.ones((2, 3), np.int64)),),
    )
    assert hw.same(network(), other)


@pytest.mark.parametrize(
    "other",
    [
        network(n_steps=5),
        network(readout="in"),
        network(connections=(hw.Dense(source="in", target="out", weight=np.array([[1, 1, 1], [1, 1, 2]])),)),
        network(
            populations=(
                hw.Population(name="in", shape=(3,), neuron=hw.Source(payload_bits=1)),
                network()["out"],
            )
        ),
        *(
            network(populations=(network()["in"], hw.Population(name="out", shape=(2,), neuron=neuron)))
            for neuron in (
                hw.Cuba(v_th_mant=11),
                hw.Cuba(v_th_mant=10, i_decay=1),
                hw.Cuba(v_th_mant=10, v_decay=1),
                hw.Cuba(v_th_mant=10, bias_mant=np.array([0, 1])),
            )
        ),
    ],
)
def test_any_number_changes_the_fingerprint(other):
    assert not hw.same(network(), other)


def test_conv_geometry_changes_the_fingerprint():
    plain = with_output((4, 3, 4), conv((4, 2, 3, 1)))
    grouped = with_output((4, 3, 4), conv((4, 1, 3, 1), groups=2))
    assert not hw.same(plain, grouped)


def test_a_registry_refuses_a_second_registration():
    colours = hw.Registry("colour")
    colours.register("red", 1)
    with pytest.raises(ValueError, match="colour 'red' is registered twice"):
        colours.register("red", 2)
    assert colours["red"] == 1


def test_a_registry_names_the_nearest_entry():
    colours = hw.Registry("colour")
    for name in ("red", "green"):
        colours.register(name, name)
    with pytest.raises(hw.BadInput, match=r"unknown colour 'gren': did you mean 'green'\? known: green, red"):
        colours["gren"]
    assert list(colours) == ["green", "red"]
    assert len(colours) == 2
    assert "red" in colours
    assert "blue" not in colours


def test_a_failing_sibling_import_raises(tmp_path, monkeypatch):
    (tmp_path / "siblings").mkdir()
    (tmp_path / "siblings" / "__init__.py").touch()
    (tmp_path / "siblings" / "broken.py").write_text("import no_such_module_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    import siblings  # type: ignore[import-not-found]

    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        import_siblings(siblings)


def test_every_error_is_a_spikeport_error():
    for error in (hw.BadInput, hw.NotRepresentable, hw.UnsupportedLayer, hw.DoesNotFit, hw.OracleFailed):
        assert issubclass(error, hw.SpikeportError)
