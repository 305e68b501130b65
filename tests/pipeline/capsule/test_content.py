"""A capsule read back: what was put in, or a refusal that says which of its statements do not agree."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from spikeport import hw
from spikeport.hw import BadInput
from spikeport.pipeline.capsule import archive, arrays, content, simulated
from spikeport.pipeline.capsule.golden import compare

from ...sim.networks import chains
from ...sim.networks import inputs_for as payloads_for
from .capsules import edited, inputs_for, members, network, resealed, with_bias, with_spikes, write

NET = network()
INPUTS = inputs_for(NET)
MEMBERS = members(NET, INPUTS)
WHOLE = archive.pack(MEMBERS)


def read(tmp_path: Path, sealed: dict[str, bytes]) -> content.Capsule:
    return content.read(write(tmp_path / "x.zip", sealed))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_network_a_file_holds_comes_back_with_its_integers(tmp_path_factory, data):
    net = data.draw(chains())
    inputs = data.draw(payloads_for(net, 2)).numpy()
    try:
        sealed = members(net, inputs)
    except hw.NotRepresentable:
        reject()  # delays that a recurrent layer of netx cannot have
    held = read(tmp_path_factory.mktemp("round"), sealed)
    assert held.network.fingerprint() == net.fingerprint()
    assert held.inputs is not None
    assert held.inputs.dtype == np.int32
    assert np.array_equal(held.inputs, inputs)
    assert compare(simulated.run(net, inputs), held.golden).first is None


def test_images_come_back_without_an_axis_of_time(tmp_path):
    held = read(tmp_path, members(NET, INPUTS[0]))
    assert held.inputs is not None
    assert np.array_equal(held.inputs, INPUTS[0])


def test_clips_are_kept_as_bits(tmp_path):
    net = network(payload_bits=0)
    sealed = members(net, inputs_for(net))
    assert len(sealed[content.INPUTS]) == 128 + 3 * 4 * 24 // 8  # header; T x B x neurons, eight to a byte
    held = read(tmp_path, sealed)
    assert held.inputs is not None
    assert np.array_equal(held.inputs, inputs_for(net))


def test_the_spikes_of_the_source_are_not_kept_twice():
    document = json.loads(MEMBERS[content.DOCUMENT])
    assert [entry["name"] for entry in document["populations"]] == ["a", "b", "out"]


def test_inputs_may_be_left_out_and_only_their_hash_stays(tmp_path):
    sealed = members(NET, INPUTS, keep_inputs=False)
    assert content.INPUTS not in sealed
    held = read(tmp_path, sealed)
    assert held.inputs is None
    assert held.document.inputs.sha256 == json.loads(MEMBERS[content.DOCUMENT])["inputs"]["sha256"]
    assert "--data FOLDER" in held.readme


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_byte_flipped_anywhere_is_refused_or_changes_nothing(tmp_path_factory, at, by):
    damaged = bytearray(WHOLE)
    damaged[at] ^= by
    path = tmp_path_factory.mktemp("flip") / "x.zip"
    path.write_bytes(damaged)
    try:
        held = content.read(path)
    except BadInput:
        return
    assert held.identity == archive.identity(MEMBERS)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in (content.README, content.RECIPE)])
def test_no_member_can_be_emptied_even_with_its_sum_made_to_fit(tmp_path, name):
    sealed = dict(MEMBERS, **{name: b""}) if name == archive.SUMS else resealed(MEMBERS, **{name: b""})
    with pytest.raises(BadInput):
        read(tmp_path, sealed)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != archive.SUMS])
def test_no_member_can_be_left_out_even_with_the_sums_made_to_fit(tmp_path, name):
    with pytest.raises(BadInput, match=f"it has no member {name}; the capsule contradicts itself"):
        read(tmp_path, resealed(MEMBERS, **{name: None}))


@pytest.mark.parametrize("found", [2, "1", None, 0])
def test_another_format_is_refused_by_its_number_and_its_maker(tmp_path, found):
    def newer(document):
        document |= {"format": found, "made_by": "7.0", "something": "new"}

    with pytest.raises(
        BadInput, match=rf"capsule format {found!r}, made by spikeport 7.0; this version reads format 1"
    ):
        read(tmp_path, edited(MEMBERS, newer))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[]", "holds a list, not a JSON object"),
        (b"{", "cannot be read as JSON"),
        (b'{"format": NaN}', "NaN is no JSON number"),
        (b"\xff", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b'{"format": 1}', "made_by: is missing"),
    ],
)
def test_a_table_of_contents_that_is_none_is_refused(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        read(tmp_path, resealed(MEMBERS, **{content.DOCUMENT: text}))


EDITS = {
    "an unknown key": (lambda d: d.update(sampels=3), "sampels: unknown key; did you mean 'samples'"),
    "a negative number": (lambda d: d.update(samples=-1), "samples is -1"),
    "another number of samples": (lambda d: d.update(samples=3), "are not 3 samples"),
    "inputs of another rank": (lambda d: d["inputs"].update(shape=[4]), "are not 4 samples"),
    "inputs of another shape": (
        lambda d: d["inputs"].update(shape=[3, 4, 2, 3, 4]),
        "holds uint8 .* the capsule says uint8",
    ),
    "other inputs": (lambda d: d["inputs"].update(sha256="0" * 64), "the golden inputs have SHA-256"),
    "inputs elsewhere": (lambda d: d["inputs"].update(file=content.README), "not a readable .npy file"),
    "another file's hash": (lambda d: d["network"].update(sha256="0" * 64), "network.net has another SHA-256"),
    "another network": (lambda d: d["network"].update(fingerprint="0" * 64), "holds another network"),
    "another length": (lambda d: d["network"].update(n_steps=4), "holds another network"),
    "a population too few": (lambda d: d["populations"].pop(), "lists other populations"),
    "a population of another name": (lambda d: d["populations"][0].update(name="x"), "lists other populations"),
    "a population of another shape": (lambda d: d["populations"][1].update(shape=[1, 5]), "lists other populations"),
    "other spikes": (lambda d: d["populations"][1].update(sha256="0" * 64), "the spikes of b have another SHA-256"),
    "more spikes": (lambda d: d["populations"][1].update(spikes=10**6), "the spikes of b have another SHA-256"),
    "spikes elsewhere": (lambda d: d["populations"][1].update(file="golden/counts.npy"), "the capsule says uint8"),
    "other predictions": (lambda d: d["predictions"].reverse(), "the predictions are not those of the read-outs"),
    "another total": (lambda d: d["counts"][0].update(golden=1), "the totals of the counts"),
    "another count": (lambda d: d["counts"][0].update(populations=["out"]), "counts other things"),
    "a manifest that is not there": (lambda d: d["versions"].update(train={}), "it has no member manifests/train.json"),
    "no manifests": (lambda d: d.update(versions={}), "is not the file that the manifest of export lists"),
    "a stage with a path": (lambda d: d["versions"].update({"../x": {}}), "it has no member manifests/../x.json"),
}


@pytest.mark.parametrize("case", EDITS)
def test_statements_that_do_not_agree_are_refused(tmp_path, case):
    edit, message = EDITS[case]
    assert len(set(json.loads(MEMBERS[content.DOCUMENT])["predictions"])) > 1  # so that reversing them matters
    with pytest.raises(BadInput, match=message):
        read(tmp_path, edited(MEMBERS, edit))


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"inputs": {}, "outputs": {}, "metrics": {}}, "is not the file that the manifest of export lists"),
        (
            {"inputs": {"train": "0"}, "outputs": {}, "metrics": {}},
            "computed from train, of which there is no manifest",
        ),
        ({"inputs": {"export": "0"}, "outputs": {}, "metrics": {}}, "computed from another export"),
        ({"outputs": [], "metrics": {}}, "the manifest of export lacks inputs, outputs"),
    ],
)
def test_manifests_that_do_not_lead_to_the_file_are_refused(tmp_path, manifest, message):
    with pytest.raises(BadInput, match=message):
        read(tmp_path, resealed(MEMBERS, **{content.MANIFEST.format("export"): json.dumps(manifest).encode()}))


def test_inputs_the_source_cannot_send_are_refused(tmp_path):
    """A capsule of a network of 3-bit payloads whose inputs reach 9, every hash made to fit."""
    beyond = INPUTS.copy()
    beyond[0, 0, 0, 0, 0] = 9
    source = NET.sources[0].neuron
    assert isinstance(source, hw.Source)
    document = json.loads(MEMBERS[content.DOCUMENT])
    document["inputs"]["sha256"] = arrays.of_payload(beyond)
    changes = {
        content.DOCUMENT: json.dumps(document).encode(),
        content.INPUTS: arrays.payload_to_npy(beyond, source),
    }
    with pytest.raises(BadInput, match=r"in carries 0\.\.7"):
        read(tmp_path, resealed(MEMBERS, **changes))


def test_a_golden_spike_can_only_be_forged_with_all_its_hashes(tmp_path):
    """Then the capsule reads, and it is the replay that finds it."""
    honest, forged = (read(tmp_path, sealed) for sealed in (MEMBERS, with_spikes(MEMBERS, 1, (2, 1, 4))))
    assert honest.identity != forged.identity
    assert compare(honest.golden, forged.golden).mismatches == 1


def test_nothing_is_unpacked_beside_the_capsule(tmp_path):
    read(tmp_path, MEMBERS)
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_the_readme_names_every_member_and_the_licence():
    text = MEMBERS[content.README].decode()
    assert [line for line in text.splitlines() if len(line) > 120] == []
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as file:
        tops = {info.filename.split("/")[0] for info in file.infolist()} - {content.README}
    assert [name for name in tops if f"\n    {name}" not in text] == []
    assert "digits: CC BY 4.0. somebody" in text
    assert "spikeport replay THIS.zip" in text


def test_other_networks_make_other_capsules():
    other = with_bias(NET, "a", 3)
    assert archive.identity(members(other, INPUTS)) != archive.identity(MEMBERS)
    assert members(NET, INPUTS) == MEMBERS
