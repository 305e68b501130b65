"""The zip of a capsule: the same members give the same bytes, and nothing is read that was not meant to be there.

Member names, dates, modes and compression are fixed. The last member, `SHA256SUMS`, lists the SHA-256 of every other
one in the form that `sha256sum --check` reads, so that an unpacked capsule can be checked without this package. Its own
SHA-256 is the capsule's identity: it stands for all the content. Nothing is ever unpacked to a file by its name.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ...export.traces import ZIP_ERRORS
from ...hw import BadInput

SUMS = "SHA256SUMS"
"""The member that lists the others. Its name and form are the same in every format of capsules."""

MAX_BYTES = 1 << 28
"""Largest capsule, packed or as its directory declares it unpacked; stops a zip bomb before anything is unpacked."""

MAX_MEMBERS = 4096

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")
_DATE = (1980, 1, 1, 0, 0, 0)
_LEVEL = 9


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def sealed(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """The members, then their sums."""
    sums = "".join(f"{sha256(content)}  {name}\n" for name, content in members.items())
    return {**members, SUMS: sums.encode()}


def pack(members: Mapping[str, bytes]) -> bytes:
    """The zip of sealed members, in their order.

    Raises BadInput for more than a reader would take, which fewer samples avoid.
    """
    total = sum(len(content) for content in members.values())
    if total > MAX_BYTES or len(members) > MAX_MEMBERS:
        raise BadInput(
            f"capsule: {len(members)} members of {total} bytes, at most {MAX_MEMBERS} members of {MAX_BYTES} bytes are "
            "read back; keep fewer samples (--samples)"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            assert _NAME.fullmatch(name)  # names are ours
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3  # unix, on every machine
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED, _LEVEL)
    return buffer.getvalue()


def unpack(path: Path) -> dict[str, bytes]:
    """The members of a capsule, `SHA256SUMS` among them, every one with its sum.

    Raises BadInput for a file that is no whole zip, declares too much, holds a name that leaves its folder, a name
    twice, or anything but plain members; for a member that is missing, unknown, or not what its sum says.
    """
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file; `spikeport capsule RUN_FOLDER --out {path.name}` makes one")
    if path.stat().st_size > MAX_BYTES:
        raise BadInput(f"{path}: {path.stat().st_size} bytes, a capsule has at most {MAX_BYTES}; this is none of ours")
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _check_directory(path, infos)
            members = {info.filename: archive.read(info) for info in infos}
    except ZIP_ERRORS as error:
        raise BadInput(f"{path}: not a readable zip file (wrong kind, or damaged): {error}; fetch it again") from None
    _check_sums(path, members)
    return members


def identity(members: Mapping[str, bytes]) -> str:
    """SHA-256 over the sums of sealed members: equal for equal content, however it was compressed."""
    return sha256(members[SUMS])


def _check_directory(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    """Raise BadInput for a directory of members that ours would not have, before one of them is unpacked."""
    total = sum(info.file_size for info in infos)
    if total > MAX_BYTES or len(infos) > MAX_MEMBERS:
        raise BadInput(
            f"{path}: declares {len(infos)} members of {total} bytes, a capsule has at most {MAX_MEMBERS} members of "
            f"{MAX_BYTES} bytes; it was not made by `spikeport capsule`"
        )
    seen: set[str] = set()
    for info in infos:
        if not _NAME.fullmatch(info.filename):
            raise BadInput(
                f"{path}: a member is called {info.filename!r}; a capsule's names are plain, with no way out of its "
                "folder; it was not made by `spikeport capsule`"
            )
        if info.filename in seen:
            raise BadInput(f"{path}: {info.filename} is there twice; it was not made by `spikeport capsule`")
        seen.add(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or info.flag_bits & 1:
            raise BadInput(
                f"{path}: {info.filename} is a link, a device or encrypted, not a plain member; it was not made by "
                "`spikeport capsule`"
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadInput(
                f"{path}: {info.filename} is packed by method {info.compress_type}, a capsule's members are stored or "
                "deflated; pack it again"
            )


def _check_sums(path: Path, members: Mapping[str, bytes]) -> None:
    """Raise BadInput unless the members are those of SHA256SUMS, each with its sum."""
    if SUMS not in members:
        raise BadInput(f"{path}: has no member {SUMS}; it is no capsule, `spikeport capsule` makes one")
    stated: dict[str, str] = {}
    *lines, last = members[SUMS].decode("ascii", "replace").split("\n")
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None or found[2] in stated:
            raise BadInput(f"{path}: {SUMS}: cannot read the line {line[:120]!r}; it is damaged, fetch it again")
        stated[found[2]] = found[1]
    if last:
        raise BadInput(f"{path}: {SUMS}: ends within a line; it is damaged, fetch it again")
    missing, unknown = sorted(stated.keys() - members.keys()), sorted(members.keys() - stated.keys() - {SUMS})
    if missing or unknown:
        which = f"{missing[0]} is missing" if missing else f"{unknown[0]} is not listed in {SUMS}"
        raise BadInput(f"{path}: {which}; the capsule was changed after it was made, fetch it again")
    for name, wanted in stated.items():
        found_sum = sha256(members[name])
        if found_sum != wanted:
            raise BadInput(
                f"{path}: {name} has SHA-256 {found_sum[:12]}..., {SUMS} says {wanted[:12]}...; the capsule was "
                "damaged or changed after it was made, fetch it again"
            )
