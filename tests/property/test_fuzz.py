"""A few hundred damaged files in the suite; `benchmarks/fuzz.py` reads a hundred thousand."""

import numpy as np
import pytest

from . import judges, mutations, seeds

FILES = 60
"""Per seed file."""

NAMES = ("conv.net", "recurrent.net", "foreign.net", "conv.nir", "recurrent.nir", "foreign.nir", "residual.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    seeds.write_seeds(folder)
    return folder


def test_every_seed_file_is_damaged_below(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_refused_or_read_rightly(folder, tmp_path, name):
    intact = judges.read(folder / name)
    outcomes = []
    for number in range(FILES):
        path = tmp_path / f"{number}{(folder / name).suffix}"
        path.write_bytes((folder / name).read_bytes())
        mutations.mutate(path, np.random.default_rng([1, number]))
        outcomes.append(judges.judge(path, intact))
    assert judges.WRONG not in outcomes
    assert outcomes.count(judges.REFUSED) > FILES / 4  # the damage is real


def test_the_judge_sees_a_wrong_silence(folder, monkeypatch):
    """A reader that gives back the undamaged network, whatever the file says, is caught."""
    path = folder / "foreign.net"
    intact = judges.read(path)
    other = judges.read(folder / "conv.net")
    monkeypatch.setitem(judges.READERS, ".net", lambda _: other)
    assert judges.judge(path, intact) == judges.WRONG
