"""The headers of a tar archive (POSIX pax), to and from bytes. No files, no streams.

Written out here rather than left to `tarfile`: that holds headers of any size in memory, takes
types nobody sends, guesses at names that are no UTF-8, and makes a third of the speed. Names and
link targets are bytes as the file system has them, throughout.

What a reader takes beside pax: old v7 and ustar headers, and GNU's long names and large numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple
from zlib import adler32

from .errors import TransferError, UnsafeArchive

BLOCK: Final = 512
ZERO_BLOCK: Final = bytes(BLOCK)

FILE: Final = b"0"
HARD_LINK: Final = b"1"
SYMLINK: Final = b"2"
FOLDER: Final = b"5"
_PAX: Final = b"x"
_PAX_GLOBAL: Final = b"g"
_LONG_NAME: Final = b"L"
_LONG_LINK: Final = b"K"

_OLD_FILES: Final = (b"\0", b"7")
_REFUSED: Final = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"S": "a sparse file",
}
#: Longer than any path and its attributes; a header must not fill memory.
_MAX_EXTENSION: Final = 1024 * 1024
_MAX_EXTENSIONS: Final = 16
_NANO: Final = 1_000_000_000
#: What GNU tar and star call an extended attribute.
_XATTR: Final = b"SCHILY.xattr."
#: Name, mode, uid, gid, size, mtime, checksum, type, link, magic and version, users, devices, the
#: name's beginning, and 12 bytes that mean nothing: there stands the time's fraction (`_fraction`).
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")
#: Before nine digits of nanoseconds. The standard's own way are two more blocks for each file,
#: which are a third of the work with small ones; other programs take the seconds.
_FRACTION: Final = b"tns"
_MAGIC: Final = b"ustar\x0000"


class Member(NamedTuple):
    """One entry of an archive. `kind` is FILE, HARD_LINK, SYMLINK or FOLDER.

    `size` is in bytes and 0 for all but files, `mtime_ns` in nanoseconds since 1970. `target` is
    a symlink's text, or the name of the member that a hard link is to. `xattrs` are names and
    values of extended attributes.
    """

    kind: bytes
    name: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    target: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


def printable(name: bytes) -> str:
    """A name for people: bytes that are no UTF-8 as escapes."""
    return name.decode("utf-8", "backslashreplace")


def padding(size: int) -> int:
    """Bytes from the end of `size` bytes of content to the next header."""
    return -size % BLOCK


def encode(member: Member) -> bytes:
    """The header blocks of a member: one, or three and more where it needs a pax extension."""
    records: list[bytes] = []
    name = _field(records, b"path", member.name)
    target = _field(records, b"linkpath", member.target)
    uid = _number(records, b"uid", member.uid, 8)
    gid = _number(records, b"gid", member.gid, 8)
    size = _number(records, b"size", member.size, 12)
    seconds, nano = divmod(member.mtime_ns, _NANO)
    if not 0 <= seconds < 8**11:
        records.append(_record(b"mtime", _decimal(member.mtime_ns)))
        seconds, nano = 0, 0
    if member.xattrs:
        records += (_record(_XATTR + _escaped(key), value) for key, value in member.xattrs)
    header = _block(
        name,
        b"%07o\0" % (member.mode & 0o7777),
        uid,
        gid,
        size,
        b"%011o\0" % seconds,
        member.kind,
        target,
        b"%s%09d" % (_FRACTION, nano) if nano else b"",
    )
    return _extension(records) + header if records else header


def _field(records: list[bytes], key: bytes, text: bytes) -> bytes:
    if len(text) <= 100:
        return text
    try:
        text.decode()
    except UnicodeDecodeError:
        if not records or not records[0].endswith(b"BINARY\n"):
            records.insert(0, _record(b"hdrcharset", b"BINARY"))
    records.append(_record(key, text))
    return text[:100]


def _number(records: list[bytes], key: bytes, value: int, width: int) -> bytes:
    if 0 <= value < 8 ** (width - 1):
        return _octal(value, width)
    records.append(_record(key, b"%d" % value))
    return _octal(0, width)


def _escaped(key: bytes) -> bytes:
    """An attribute's name as GNU tar writes it: a pax key ends at its first `=`."""
    return key.replace(b"%", b"%25").replace(b"=", b"%3D")


def _xattrs(pax: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    found = ((key.removeprefix(_XATTR), pax[key]) for key in pax if key.startswith(_XATTR))
    return tuple((key.replace(b"%3D", b"=").replace(b"%25", b"%"), value) for key, value in found)


def _octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def _decimal(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    return b"%s%d.%09d" % (sign, *divmod(abs(nanoseconds), _NANO))


def _record(key: bytes, value: bytes) -> bytes:
    """`length key=value`, where the length counts itself."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + len(str(len(rest)))
    if len(str(length)) > len(str(len(rest))):
        length += 1
    return b"%d%s" % (length, rest)


def _extension(records: list[bytes]) -> bytes:
    data = b"".join(records)
    zero = _octal(0, 8)
    header = _block(b"pax", zero, zero, zero, _octal(len(data), 12), _octal(0, 12), _PAX, b"")
    return header + data + bytes(padding(len(data)))


def _block(
    name: bytes,
    mode: bytes,
    uid: bytes,
    gid: bytes,
    size: bytes,
    mtime: bytes,
    kind: bytes,
    target: bytes,
    fraction: bytes = b"",
) -> bytes:
    fields = (name, mode, uid, gid, size, mtime, b" " * 8, kind, target, _MAGIC)
    block = _HEADER.pack(*fields, b"", b"", b"0000000", b"0000000", b"", fraction)
    return b"%s%06o\0 %s" % (block[:148], _sum(block), block[156:])


def _sum(data: bytes) -> int:
    """Of the bytes of a block, at most. Adler-32 has the sum in its lower half, plus one, as long
    as that is below 65,521: of 256 bytes it always is. `sum` would take a fifth of the time that
    a small file takes.
    """
    first, second = adler32(data[:256]), adler32(data[256:])
    return (first & 0xFFFF) + (second & 0xFFFF) - 2


# Reading


def read_member(read: Callable[[int], bytes]) -> Member | None:
    """Read the next header with its extensions, or None at the end marker.

    `read` returns exactly as many bytes as asked for, or raises. Raises `UnsafeArchive` for types
    that are refused and `TransferError` for what is no tar archive.
    """
    pax: dict[bytes, bytes] = {}
    for _ in range(_MAX_EXTENSIONS):
        block = read(BLOCK)
        if block == ZERO_BLOCK:
            return None
        if _sum(block) - _sum(block[148:156]) + 256 != _parse(block[148:156]):
            raise TransferError("this is no tar archive, or a damaged one: a checksum is wrong")
        if block[156:157] not in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK):
            return _checked(_decode(block, pax), pax)
        _extend(pax, block[156:157], _read_extension(read, _parse(block[124:136])))
    raise TransferError("the archive has one header extension after the other, and no member")


def _extend(pax: dict[bytes, bytes], kind: bytes, data: bytes) -> None:
    if kind == _PAX:
        pax |= _records(data)
    elif kind == _LONG_NAME:
        pax[b"path"] = data.rstrip(b"\0")
    elif kind == _LONG_LINK:
        pax[b"linkpath"] = data.rstrip(b"\0")
    elif not _records(data).keys() <= {b"comment"}:
        # Git puts comments there. Whatever else would hold for all members nobody should send.
        raise TransferError("the archive has global pax headers, which are not taken")


def _decode(block: bytes, pax: dict[bytes, bytes]) -> Member:
    name, mode, uid, gid, size, mtime, _, kind, target, magic, *rest = _HEADER.unpack(block)
    name, prefix = _text(name), _text(rest[4])
    if prefix and magic == _MAGIC:
        name = b"%s/%s" % (prefix, name)
    if kind in _OLD_FILES:
        kind = FOLDER if kind == b"\0" and name.endswith(b"/") else FILE
    member = Member(
        kind,
        name,
        _parse(mode) & 0o7777,
        _parse(uid),
        _parse(gid),
        _parse(size) if kind == FILE else 0,
        _parse(mtime) * _NANO + _fraction(rest[5]),
        _text(target),
    )
    return _extended(member, pax) if pax else member


def _extended(member: Member, pax: dict[bytes, bytes]) -> Member:
    """With what an extension says instead."""
    try:
        return member._replace(
            name=pax.get(b"path", member.name),
            uid=int(pax.get(b"uid", member.uid)),
            gid=int(pax.get(b"gid", member.gid)),
            size=int(pax.get(b"size", member.size)) if member.kind == FILE else 0,
            mtime_ns=_nanoseconds(pax[b"mtime"]) if b"mtime" in pax else member.mtime_ns,
            target=pax.get(b"linkpath", member.target),
            xattrs=_xattrs(pax),
        )
    except ValueError:
        raise TransferError("the archive has a pax header with a number that is none") from None


def _checked(member: Member, pax: dict[bytes, bytes]) -> Member:
    what = None
    if pax and any(key.startswith(b"GNU.sparse") for key in pax):
        what = _REFUSED[b"S"]
    elif member.kind not in (FILE, HARD_LINK, SYMLINK, FOLDER):
        what = _REFUSED.get(member.kind, f"of the unknown type {member.kind!r}")
    if what is not None:
        name = printable(member.name)
        raise UnsafeArchive(f"the archive's member {name!r} is {what}", member=name)
    return member


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0] if field[0] else b""


def _parse(field: bytes) -> int:
    """A number in octal, or in GNU's base 256 where the first bit is set."""
    if field[-1] == 0:
        try:
            return int(field[:-1], 8)  # as nearly all are
        except ValueError:
            pass
    if field[0] & 0x80:
        value = int.from_bytes(field[1:], "big")
        return value - 256 ** (len(field) - 1) if field[0] == 0xFF else value
    try:
        return int(field.rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        raise TransferError("this is no tar archive, or a damaged one: a number is none") from None


def _read_extension(read: Callable[[int], bytes], size: int) -> bytes:
    if not 0 <= size <= _MAX_EXTENSION:
        raise TransferError(f"the archive has a header of {size} bytes: more than any path needs")
    return read(size + padding(size))[:size]


def _records(data: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    while data:
        length, space, _ = data[:20].partition(b" ")
        end = int(length) if length.isdigit() else 0
        key, equals, value = data[len(length) + 1 : end].partition(b"=")
        if not (space and equals and value.endswith(b"\n") and len(length) + 1 < end <= len(data)):
            raise TransferError("the archive has a malformed pax header")
        records[key] = value[:-1]
        data = data[end:]
    return records


def _nanoseconds(text: bytes) -> int:
    whole, _, fraction = text.strip().partition(b".")
    nanoseconds = abs(int(whole)) * _NANO + int(fraction[:9].ljust(9, b"0"))
    return -nanoseconds if whole.startswith(b"-") else nanoseconds


def _fraction(field: bytes) -> int:
    """Nanoseconds, where `encode` has put them."""
    digits = field[len(_FRACTION) :]
    return int(digits) if field.startswith(_FRACTION) and digits.isdigit() else 0
