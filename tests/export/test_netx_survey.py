"""`survey` describes any file: what runs, what does not and why, and what netx leaves unread."""

import h5py
import numpy as np
import pytest
from spikeport import hw
from spikeport.export import netx

CUBA = {"type": np.bytes_("CUBA"), "iDecay": 4096, "vDecay": 128, "vThMant": 80}
SDNN = {"type": np.bytes_("SDNN"), "vThMant": 13, "activation": np.bytes_("relu")}
RF = {"type": np.bytes_("RF_IZ"), "vThMant": 80, "sinDecay": 1000, "cosDecay": 3000}


def save(path, layers):
    def put(group, fields):
        for name, value in fields.items():
            if isinstance(value, dict):
                put(group.create_group(name), value)
            else:
                group[name] = value

    with h5py.File(path, "w") as file:
        put(file.create_group("layer"), {str(i): fields for i, fields in enumerate(layers)})
    return path


def image(**fields):
    return {"type": "input", "shape": np.array([1, 3, 3]), **fields}


def conv(**fields):
    return {
        "type": "conv",
        "shape": np.array([2, 2, 2]),
        "weight": np.arange(-2.0, 6).reshape(2, 1, 2, 2),
        "stride": np.array([1, 1]),
        "padding": np.array([0, 0]),
        "dilation": 1,
        "groups": 1,
        "neuron": CUBA,
        **fields,
    }


def dense(**fields):
    return {"type": "dense", "shape": np.array([3]), "weight": np.full((3, 8), 2), "neuron": CUBA, **fields}


def test_a_file_that_runs(tmp_path):
    extra = {"kernelSize": np.array([2, 2]), "neuron": {**CUBA, "refDelay": 1}}
    found = netx.survey(
        save(tmp_path / "a.net", [image(), conv(**extra), {"type": "flatten"}, dense(delay=np.array(3))])
    )
    assert found.refused is None
    assert not found.ours
    assert [layer.type for layer in found.layers] == ["input", "conv", "flatten", "dense"]
    assert [layer.shape for layer in found.layers] == [(1, 3, 3), (2, 2, 2), None, (3,)]
    assert all(layer.refused is None for layer in found.layers)
    first = found.layers[1]
    assert first.arrays["weight"] == netx.ArraySurvey(
        shape=(2, 1, 2, 2), dtype="float64", least=-2, most=5, integral=True, even=False
    )
    assert first.geometry == {"stride": (1, 1), "padding": (0, 0), "dilation": (1,), "groups": (1,)}
    assert first.neuron == "CUBA"
    assert first.parameters == {"iDecay": (4096,), "vDecay": (128,), "vThMant": (80,), "refDelay": (1,)}
    assert first.ignored == ("kernelSize", "neuron/refDelay")
    assert found.layers[3].arrays["delay"].most == 3


def test_a_file_of_ours_is_recognised(tmp_path):
    network = hw.Network(
        populations=(
            hw.Population(name="in", shape=(2,), neuron=hw.Source()),
            hw.Population(name="fc", shape=(1,), neuron=hw.Cuba(v_th_mant=5)),
        ),
        connections=(hw.Dense(source="in", target="fc", weight=np.array([[2, -2]])),),
        readout=hw.Readout(population="fc", kind="spike_count"),
        n_steps=6,
    )
    netx.write(network, tmp_path / "a.net")
    found = netx.survey(tmp_path / "a.net")
    assert found.ours
    assert found.refused is None
    with h5py.File(tmp_path / "a.net", "a") as file:
        file["layer/1/weight"][0, 0] = 4
    assert "altered after it was written" in netx.survey(tmp_path / "a.net").refused


def test_every_layer_of_a_sigma_delta_network_is_shown(tmp_path):
    layers = [image(neuron=SDNN), conv(neuron=SDNN), {"type": "flatten"}, dense(neuron=SDNN)]
    found = netx.survey(save(tmp_path / "a.net", layers))
    assert "sigma-delta" in found.refused
    assert [layer.neuron for layer in found.layers] == ["SDNN", "SDNN", None, "SDNN"]
    assert ["SDNN" in (layer.refused or "") for layer in found.layers] == [True, True, False, True]
    assert found.layers[1].parameters == {"vThMant": (13,), "activation": "relu"}
    assert found.layers[1].ignored == ("neuron/activation",)
    assert found.layers[3].arrays["weight"].shape == (3, 8)


def test_the_complex_weights_of_resonators_are_shown(tmp_path):
    weight = {"real": np.full((3, 8), 0.5), "imag": np.full((3, 8), 4)}
    found = netx.survey(save(tmp_path / "a.net", [image(), {"type": "flatten"}, dense(weight=weight, neuron=RF)]))
    layer = found.layers[2]
    assert set(layer.arrays) == {"weight/real", "weight/imag"}
    assert not layer.arrays["weight/real"].integral
    assert layer.arrays["weight/imag"].even
    assert layer.refused is not None
    assert layer.ignored == ()


def test_layers_behind_one_that_does_not_run_are_judged_by_themselves(tmp_path):
    pool = {"type": "pool", "shape": np.array([2, 2, 2])}
    found = netx.survey(save(tmp_path / "a.net", [image(), pool, conv(shape=np.array([2, 1, 1])), conv()]))
    assert "pool has no rule here" in found.layers[1].refused
    assert found.layers[1].ignored == ("shape",)
    assert "the weight takes 1 channels" in found.layers[3].refused  # it follows 2 channels
    alone = netx.survey(save(tmp_path / "b.net", [image(), pool, dense()]))
    assert alone.layers[2].refused is None


def test_unreadable_parts_are_shown_as_such(tmp_path):
    path = save(tmp_path / "a.net", [image(), conv(weight=np.full((2, 1, 2, 2), np.nan)), {"shape": np.array([1])}])
    with h5py.File(path, "a") as file:
        file["layer/3"] = h5py.ExternalLink("/etc/passwd", "/x")
    found = netx.survey(path)
    assert found.layers[1].arrays["weight"].least is None
    assert [layer.type for layer in found.layers] == ["input", "conv", "?", "?"]
    assert "a link" in found.layers[3].refused


def test_a_file_without_layers_is_refused(tmp_path):
    h5py.File(tmp_path / "a.net", "w").close()
    with pytest.raises(hw.BadInput, match="layer is missing"):
        netx.survey(tmp_path / "a.net")
