import os
import pickle

import numpy as np
import pytest
from spikeport.hw import BadInput
from spikeport.models.datasets.pickles import read_pickle

ROOM = 1 << 20


@pytest.fixture
def read(tmp_path):
    def from_bytes(content):
        path = tmp_path / "batch"
        path.write_bytes(content)
        return read_pickle(path, ROOM)

    return from_bytes


class Runs:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_plain_data_and_byte_arrays_come_back_as_they_were(read, rng, protocol):
    array = rng.integers(0, 256, (4, 6), np.uint8)
    content = {b"data": array, b"turned": np.asfortranarray(array), b"labels": [1, 2**40, -3], b"name": b"\x00\xff"}
    back = read(pickle.dumps(content, protocol=protocol))
    assert np.array_equal(back[b"data"], array)
    assert np.array_equal(back[b"turned"], array)
    assert back[b"labels"] == content[b"labels"]
    assert back[b"name"] == b"\x00\xff"


def test_a_pickle_of_python_2_is_read(read):
    # {'data': array([[1, 2], [3, 4]], dtype=uint8), 'labels': [5]} as Python 2 and numpy 1 write it, protocol 2.
    content = (
        b"\x80\x02}q\x01(U\x04datacnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87R"
        b"(K\x01K\x02K\x02\x86cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x04\x01\x02\x03\x04tbU\x06labels]K\x05au."
    )
    back = read(content)
    assert back[b"data"].tolist() == [[1, 2], [3, 4]]
    assert back[b"data"].dtype == np.uint8
    assert back[b"labels"] == [5]


def test_a_pickle_that_would_run_a_command_is_refused_and_does_not_run_it(read, tmp_path):
    victim = tmp_path / "ran"
    content = pickle.dumps({b"data": Runs(os.system, f"touch {victim}")}, protocol=2)
    with pytest.raises(BadInput, match=r"asks for posix\.system.*do not trust this file"):
        read(content)
    assert not victim.exists()
    pickle.loads(content)  # the forged file is a real one: read the usual way, it runs
    assert victim.exists()


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (eval, ("1",), r"(builtins|__builtin__)\.eval"),
        (getattr, ("x", "upper"), r"(builtins|__builtin__)\.getattr"),
        (np.load, ("x",), r"numpy\.load"),
        (np.fromfile, ("x",), r"numpy.*\.fromfile"),
        (__import__, ("os",), r"(builtins|__builtin__)\.__import__"),
        (bytearray, (10,), r"(builtins|__builtin__)\.bytearray"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_every_other_name_is_refused(read, function, arguments, name, protocol):
    with pytest.raises(BadInput, match=f"asks for {name}"):
        read(pickle.dumps({b"x": Runs(function, *arguments)}, protocol=protocol))


def test_attributes_of_allowed_names_are_not_reached(read):
    # STACK_GLOBAL 'numpy' 'ndarray.tofile': protocol 4 lets a name have dots.
    with pytest.raises(BadInput, match=r"asks for numpy\.ndarray\.tofile"):
        read(b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.")


def test_only_latin1_is_decoded(read):
    # REDUCE of _codecs.encode('x', 'zip'), a codec that runs a compressor.
    with pytest.raises(BadInput, match=r"asks for _codecs\.encode with 'zip'"):
        read(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00xX\x03\x00\x00\x00zip\x86R.")


def test_a_shape_that_is_not_the_bytes_is_refused(read):
    honest = pickle.dumps({b"data": np.zeros((2, 3), np.uint8)}, protocol=2)
    forged = honest.replace(b"K\x02K\x03\x86", b"K\x02K\x09\x86")  # the shape (2, 3) becomes (2, 9)
    assert forged != honest
    with pytest.raises(BadInput, match="not a readable pickle"):
        read(forged)


@pytest.mark.parametrize("value", [[1, 2], 5, None, b"text", np.zeros(3, np.uint8)])
def test_anything_but_a_dict_is_refused(read, value):
    with pytest.raises(BadInput, match="not a readable pickle of plain data"):
        read(pickle.dumps(value, protocol=2))


@pytest.mark.parametrize("content", [b"", b".", b"\x80", b"hello", b"\x80\x02}q\x00(", b"\x80\xff", b"K\x01K\x02s."])
def test_a_damaged_stream_is_refused(read, content):
    with pytest.raises(BadInput, match="damaged or truncated"):
        read(content)


def test_every_truncation_of_a_good_file_is_refused(read, rng):
    whole = pickle.dumps({b"data": rng.integers(0, 256, (2, 4), np.uint8), b"labels": [1, 2]}, protocol=2)
    read(whole)
    for length in range(len(whole)):
        with pytest.raises(BadInput):
            read(whole[:length])


def test_a_huge_number_in_the_memo_makes_no_huge_table(read):
    assert read(b"\x80\x02}r\xff\xff\xff\xff.") == {}  # remembers its dict as number 2^32 - 1


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x3f.",  # claims 2^62 bytes
        b"\x80\x02" + b")" + b"\x85" * 200_000 + b"}\x86.",  # a tuple in a tuple, 200,000 deep
    ],
)
def test_a_forged_stream_cannot_exhaust_the_machine(read, content):
    with pytest.raises(BadInput, match="not a readable pickle of plain data"):
        read(content)


def test_a_deep_key_is_refused_before_it_is_hashed(read):
    with pytest.raises(BadInput, match="keys are not names"):
        read(b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02(]K\x01e.", "list index out of range"),
        (b"\x80\x02K\x01)R.", "asks for a call of a int"),
        (b"\x80\x02}}b.", "asks for a change to a dict"),
        (b"\x80\x02K\x01K\x02a.", "items for a int"),
        (b"\x80\x02]U\x01aK\x02s.", "keys for a list"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "a call of ndarray that numpy does not write"),
        (b"\x80\x02P0\n.", "asks for the operation PERSID"),
        (b"\x80\x02\x82\x01.", "asks for the operation EXT1"),
    ],
)
def test_steps_that_make_no_plain_data_are_refused(read, content, message):
    with pytest.raises(BadInput, match=message):
        read(content)


def test_a_file_larger_than_any_batch_is_not_read(tmp_path):
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({b"x": b"0" * 100}))
    with pytest.raises(BadInput, match=r"bytes, expected at most 50"):
        read_pickle(path, 50)
