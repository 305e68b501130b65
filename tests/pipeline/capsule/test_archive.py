"""The zip of a capsule: equal content gives equal bytes, and a zip not of ours is refused before it is unpacked."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.pipeline.capsule import archive

MEMBERS = archive.sealed({"README.txt": b"hello\n" * 50, "golden/spikes/0000.npy": bytes(range(256)), "empty": b""})


@pytest.fixture
def unpacked(tmp_path):
    """What `unpack` makes of some bytes."""

    def call(content: bytes) -> dict[str, bytes]:
        path = tmp_path / "x.zip"
        path.write_bytes(content)
        return archive.unpack(path)

    return call


def zipped(members, **fields) -> bytes:
    """A zip of (name, content) pairs as zipfile itself would make it; fields: set on every entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for field, value in fields.items():
                setattr(info, field, value)
            file.writestr(info, content)
    return buffer.getvalue()


def test_members_come_back_in_their_order(unpacked):
    assert list(unpacked(archive.pack(MEMBERS)).items()) == list(MEMBERS.items())


def test_the_same_members_give_the_same_bytes():
    first, again = (archive.pack(archive.sealed({"b": b"2", "a": b"1"})) for _ in range(2))
    assert first == again
    with zipfile.ZipFile(io.BytesIO(first)) as file:
        assert [info.filename for info in file.infolist()] == ["b", "a", archive.SUMS]
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_sums_are_those_of_the_members_in_the_form_of_sha256sum():
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in list(MEMBERS.items())[:-1]]
    assert MEMBERS[archive.SUMS].decode() == "".join(lines)


def test_the_identity_stands_for_every_member_and_not_for_the_compression(unpacked):
    stored = unpacked(zipped(MEMBERS.items(), compress_type=zipfile.ZIP_STORED))
    assert archive.identity(stored) == archive.identity(MEMBERS)
    assert archive.identity(archive.sealed({"a": b"1"})) != archive.identity(archive.sealed({"a": b"2"}))


@pytest.mark.parametrize("name", [name for name in MEMBERS if MEMBERS[name]])
@given(st.data())
def test_a_byte_flipped_in_any_member_is_found(tmp_path_factory, name, data):
    at = data.draw(st.integers(0, len(MEMBERS[name]) - 1))
    damaged = bytearray(MEMBERS[name])
    damaged[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("flip") / "x.zip"
    path.write_bytes(archive.pack({**MEMBERS, name: bytes(damaged)}))
    with pytest.raises(BadInput):
        archive.unpack(path)


@given(st.data())
def test_a_damaged_zip_is_refused_or_its_content_is_unharmed(tmp_path_factory, data):
    content = bytearray(archive.pack(MEMBERS))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "x.zip"
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 3]))])
    try:
        found = archive.unpack(path)
    except BadInput:
        return
    assert found == MEMBERS


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "golden/../../evil", "a\\..\\b", "C:evil", "folder/", ".hidden", "a//b", "é", ""]
)
def test_a_name_that_is_not_plain_is_refused(unpacked, name):
    with pytest.raises(BadInput, match="names are plain"):
        unpacked(zipped([(name, b""), *MEMBERS.items()]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_given_twice_is_refused(unpacked):
    with pytest.raises(BadInput, match="empty is there twice"):
        unpacked(zipped([*MEMBERS.items(), ("empty", b"")]))


def test_a_link_is_refused(unpacked):
    with pytest.raises(BadInput, match="a link, a device or encrypted"):
        unpacked(zipped(MEMBERS.items(), external_attr=(stat.S_IFLNK | 0o777) << 16))


def test_an_encrypted_member_is_refused(unpacked):
    content = bytearray(zipped(MEMBERS.items()))
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1  # general purpose flag
    with pytest.raises(BadInput, match="a link, a device or encrypted"):
        unpacked(bytes(content))


def test_another_compression_is_refused_before_it_is_tried(unpacked):
    with pytest.raises(BadInput, match="packed by method 14"):
        unpacked(zipped(MEMBERS.items(), compress_type=zipfile.ZIP_LZMA))


def test_a_bomb_is_refused_by_what_it_declares(unpacked):
    content = bytearray(zipped(MEMBERS.items()))
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", archive.MAX_BYTES + 1)  # uncompressed size
    with pytest.raises(
        BadInput, match=rf"declares 4 members of \d+ bytes, a capsule has at most .* {archive.MAX_BYTES}"
    ):
        unpacked(bytes(content))


def test_a_bomb_that_declares_little_is_refused_too(unpacked):
    """zipfile stops at the declared size, where the checksum is not that of the whole."""
    content = bytearray(zipped([("zeros", bytes(10_000_000)), *MEMBERS.items()]))
    for header, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        start = content.index(header)
        content[start + at : start + at + 4] = struct.pack("<I", 10)
    with pytest.raises(BadInput, match="not a readable zip file"):
        unpacked(bytes(content))


def test_too_many_members_are_refused(unpacked, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    with pytest.raises(BadInput, match="declares 4 members"):
        unpacked(zipped(MEMBERS.items()))
    with pytest.raises(BadInput, match="keep fewer samples"):
        archive.pack(MEMBERS)


def test_a_file_too_large_to_be_ours_is_not_opened(unpacked, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    with pytest.raises(BadInput, match="a capsule has at most 100; this is none of ours"):
        unpacked(bytes(101))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([m for m in MEMBERS.items() if m[0] != "empty"], "empty is missing; the capsule was changed"),
        ([*MEMBERS.items(), ("more", b"")], "more is not listed in SHA256SUMS"),
        ([m for m in MEMBERS.items() if m[0] != archive.SUMS], "has no member SHA256SUMS; it is no capsule"),
        (
            [(n, c if n != "empty" else b"!") for n, c in MEMBERS.items()],
            "empty has SHA-256 bb7208bc9b5d..., SHA256SUMS",
        ),
        ([(archive.SUMS, b"0" * 64 + b"  a")], "ends within a line"),
        ([(archive.SUMS, b"0" * 63 + b"  a\n")], "cannot read the line '0{63}  a'"),
        ([(archive.SUMS, (b"0" * 64 + b"  a\n") * 2)], "cannot read the line"),
        ([(archive.SUMS, b"\xff\n")], "cannot read the line"),
    ],
)
def test_members_that_are_not_those_of_the_sums_are_refused(unpacked, members, message):
    with pytest.raises(BadInput, match=message):
        unpacked(zipped(members))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(10)])
def test_another_kind_of_file_is_refused(unpacked, content):
    with pytest.raises(BadInput, match="not a readable zip file"):
        unpacked(content)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"there is no such file; `spikeport capsule RUN_FOLDER --out x\.zip` makes"):
        archive.unpack(tmp_path / "x.zip")
