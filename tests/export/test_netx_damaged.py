"""Files that are not what they claim: not HDF5, cut off, pointing elsewhere, forged, altered."""

import zlib

import h5py
import numpy as np
import pytest
from spikeport import hw
from spikeport.export import netx


@pytest.fixture
def path(tmp_path):
    """A small file of ours: in (2,) -> a (3,) -> b (2,)."""
    rng = np.random.default_rng(1)
    network = hw.Network(
        populations=(
            hw.Population(name="in", shape=(2,), neuron=hw.Source(payload_bits=4)),
            hw.Population(name="a", shape=(3,), neuron=hw.Cuba(v_th_mant=7, bias_mant=np.array([1, 2, 3]))),
            hw.Population(name="b", shape=(2,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)),
        ),
        connections=(
            hw.Dense(source="in", target="a", weight=2 * rng.integers(-9, 9, (3, 2))),
            hw.Dense(source="a", target="b", weight=2 * rng.integers(-9, 9, (2, 3))),
        ),
        readout=hw.Readout(population="b"),
        n_steps=4,
    )
    netx.write(network, tmp_path / "a.net")
    return tmp_path / "a.net"


def replace(path, field, value, **options):
    with h5py.File(path, "a") as file:
        del file[field]
        if options:
            file.create_dataset(field, data=value, **options)
        else:
            file[field] = value


def test_a_missing_file(tmp_path):
    with pytest.raises(hw.BadInput, match=r"nothing\.net: there is no such file"):
        netx.read(tmp_path / "nothing.net")


@pytest.mark.parametrize("content", [b"", b"not hdf5 at all", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04" + bytes(5000)])
def test_a_file_of_another_kind(tmp_path, content):
    (tmp_path / "a.net").write_bytes(content)
    with pytest.raises(hw.BadInput, match=r"a\.net: not a readable HDF5 file"):
        netx.read(tmp_path / "a.net")


def test_a_folder(tmp_path):
    with pytest.raises(hw.BadInput, match="not a readable HDF5 file"):
        netx.read(tmp_path)


def test_numbers_wider_than_float64_are_refused(path):
    """What a long double can hold and a float64 cannot would silently become zero."""
    replace(path, "layer/1/weight", np.full((3, 2), np.longdouble("1e-4000")))
    with pytest.raises(hw.BadInput, match=r"weight: found dtype float128, expected numbers of at most 64 bits"):
        netx.read(path)


@pytest.mark.parametrize("shuffle", [False, True])
def test_compressed_weights_are_read(path, shuffle):
    before = netx.read(path)
    with h5py.File(path) as file:
        weight = file["layer/1/weight"][()]
    replace(path, "layer/1/weight", weight, compression="gzip", chunks=(2, 1), shuffle=shuffle)
    assert hw.same(netx.read(path), before)


def test_a_chunk_that_unpacks_to_less_is_refused(path):
    """The HDF5 library would fill up with whatever memory held."""
    replace(path, "layer/1/weight", np.zeros((3, 2), np.int16), compression="gzip", chunks=(3, 2))
    with h5py.File(path, "a") as file:
        file["layer/1/weight"].id.write_direct_chunk((0, 0), zlib.compress(bytes(10)))
    with pytest.raises(hw.BadInput, match="weight: found part 0 damaged, expected all its values"):
        netx.read(path)


def test_a_missing_chunk_is_refused(path):
    """The HDF5 library would take it for zeros."""
    with h5py.File(path, "a") as file:
        del file["layer/1/weight"]
        weight = file.create_dataset("layer/1/weight", (3, 2), "i2", chunks=(1, 2))
        weight[:2] = 2
    with pytest.raises(hw.BadInput, match="weight: found 2 of its 3 parts"):
        netx.read(path)


def test_values_that_were_never_stored_are_refused(path):
    with h5py.File(path, "a") as file:
        del file["layer/1/weight"]
        file.create_dataset("layer/1/weight", (3, 2), "i2")
    with pytest.raises(hw.BadInput, match="weight: found no stored values"):
        netx.read(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(hw.BadInput, match="not a readable HDF5 file"):
        netx.read(path)


def test_hdf5_without_layers(tmp_path):
    with h5py.File(tmp_path / "a.net", "w") as file:
        file["something"] = 1
    with pytest.raises(hw.BadInput, match=r"a\.net: layer is missing; the group holds something"):
        netx.read(tmp_path / "a.net")


def test_an_empty_hdf5_file(tmp_path):
    with h5py.File(tmp_path / "a.net", "w"):
        pass
    with pytest.raises(hw.BadInput, match="layer is missing; the group holds nothing"):
        netx.read(tmp_path / "a.net")


@pytest.mark.parametrize(
    "link", [h5py.ExternalLink("/etc/passwd", "/x"), h5py.ExternalLink("a.net", "/layer/2/weight"), h5py.SoftLink("/x")]
)
def test_links_are_not_followed(path, link):
    replace(path, "layer/1/weight", link)
    with pytest.raises(hw.BadInput, match=rf"layer: 1: weight: found a link \({type(link).__name__}\)"):
        netx.read(path)


def test_a_layer_behind_a_link_is_not_followed(path):
    replace(path, "layer/1", h5py.ExternalLink("other.net", "/layer/1"))
    with pytest.raises(hw.BadInput, match="layer: 1: found a link"):
        netx.read(path)


def test_data_in_another_file_is_not_read(path, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(12))
    with h5py.File(path, "a") as file:
        del file["layer/1/weight"]
        external = [(str(tmp_path / "secret.bin"), 0, 12)]
        file["layer/1"].create_dataset("weight", shape=(3, 2), dtype="i2", external=external)
    with pytest.raises(hw.BadInput, match="weight: found data kept in another file"):
        netx.read(path)


def test_virtual_data_is_not_read(path):
    layout = h5py.VirtualLayout(shape=(3, 2), dtype="i2")
    layout[:] = h5py.VirtualSource("other.h5", "weight", shape=(3, 2))
    with h5py.File(path, "a") as file:
        del file["layer/1/weight"]
        file["layer/1"].create_virtual_dataset("weight", layout)
    with pytest.raises(hw.BadInput, match="weight: found data kept in another file"):
        netx.read(path)


def test_a_forged_shape_is_refused_before_memory_is_taken(path):
    with h5py.File(path, "a") as file:
        del file["layer/1/weight"]
        file["layer/1"].create_dataset("weight", shape=(3, 1 << 40), chunks=(3, 1024), dtype="i2")  # nothing stored
    with pytest.raises(hw.BadInput, match=r"weight: found shape \(3, 1099511627776\), expected at most"):
        netx.read(path)


def test_a_chunk_that_does_not_decompress_is_named(path):
    replace(path, "layer/1/weight", np.zeros((3, 2), "i2"), chunks=(3, 2), compression="gzip")
    with h5py.File(path, "a") as file:
        file["layer/1/weight"].id.write_direct_chunk((0, 0), b"not gzip")
    with pytest.raises(hw.BadInput, match="layer: 1: weight: found part 0 damaged"):
        netx.read(path)


ALTERATIONS = [
    ("layer/1/weight", np.full((3, 2), 2)),
    ("layer/1/bias", np.array([1, 2, 4])),
    ("layer/1/neuron/vThMant", 8),
    ("layer/2/neuron/iDecay", 0),
    ("spikeport/n_steps", 5),
    ("spikeport/payload_bits", 3),
    ("spikeport/populations", '["in", "a", "c"]'),
    ("spikeport/readout_population", 1),
    ("spikeport/readout_kind", "spike_count"),
    ("spikeport/connections", np.array([1, 0])),
    ("spikeport/fingerprint", "0" * 64),
]


@pytest.mark.parametrize(("field", "value"), ALTERATIONS)
def test_an_altered_file_is_noticed(path, field, value):
    replace(path, field, value)
    with pytest.raises(hw.BadInput, match=r"fingerprint: the content gives .* it was altered after it was written"):
        netx.read(path)


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("format", 3, r"format: found 3, expected 1\.\.2; the file was written by another version"),
        ("format", 0, r"format: found 0, expected 1\.\.2"),
        ("n_steps", 0, "n_steps: found 0, expected 1.."),
        ("n_steps", 2.5, "n_steps: found dtype float64"),
        ("payload_bits", 25, "payload_bits: found 25, expected 0..24"),
        ("populations", "[1, 2, 3]", "populations: found .* expected a JSON list of 3 names"),
        ("populations", '["in", "a"]', "expected a JSON list of 3 names"),
        ("populations", "{", "expected a JSON list of 3 names"),
        ("populations", "[" * 100_000, "expected a JSON list of 3 names"),
        ("populations", '["in", "a", "a"]', "spikeport: .* names are not unique"),
        ("readout_population", 3, "readout_population: found 3, expected 0..2"),
        ("readout_kind", "guess", "readout_kind: found 'guess', expected membrane or spike_count"),
        ("connections", np.array([0, 0]), r"connections: found \[0, 0\], expected a permutation of 0..1"),
    ],
)
def test_our_own_fields_are_checked(path, field, value, match):
    replace(path, f"spikeport/{field}", value)
    with pytest.raises(hw.BadInput, match=match):
        netx.read(path)


@pytest.mark.parametrize("field", ["format", "n_steps", "payload_bits", "populations", "readout_kind", "fingerprint"])
def test_our_own_fields_may_not_be_missing(path, field):
    with h5py.File(path, "a") as file:
        del file["spikeport"][field]
    with pytest.raises(hw.BadInput, match=f"spikeport: {field} is missing"):
        netx.read(path)


def test_flipped_bytes_never_pass_unnoticed(path):
    """Whatever bytes change, the file is refused by name or still holds the very same network."""
    before = path.read_bytes()
    network = netx.read(path)
    refusals = []
    for seed in range(250):
        rng = np.random.default_rng(seed)
        content = bytearray(before)
        for position in rng.integers(0, len(content), rng.integers(1, 9)):
            content[position] = rng.integers(256)
        path.write_bytes(content)
        try:
            assert hw.same(netx.read(path), network), seed
        except hw.SpikeportError as error:
            refusals.append(str(error))
    assert len(refusals) > 50
    assert all(message.startswith(str(path)) for message in refusals)
