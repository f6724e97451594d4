"""Archives that nobody may unpack, with what their refusal says. Not collected by pytest.

Each is refused by the code that both sides share; the tests of either side go through all of them.
"""

import tarfile

from .trees import archive, folder, link, member

HOSTILE: dict[str, tuple[bytes, str]] = {
    "climbs": (archive(member("../evil", b"x")), "'../evil' climbs out"),
    "climbs in the middle": (archive(member("a/../../evil", b"x")), "climbs out"),
    "climbs and comes back": (archive(member("a/../b", b"x")), "climbs out"),
    "climbs as a folder": (archive(folder("../evil")), "climbs out"),
    "is absolute": (archive(member("/tmp/evil", b"x")), "absolute name"),
    "is absolute by two slashes": (archive(member("//evil", b"x")), "absolute name"),
    "is the destination": (archive(member(".", b"x")), "destination's own name"),
    "has no name": (archive(member("", b"x")), "destination's own name"),
    "is an absolute link": (archive(link("a", "/etc/passwd")), "'/etc/passwd', which is absolute"),
    "is a climbing link": (archive(link("a", "../x")), "leads out of the destination"),
    "is a deep climbing link": (
        archive(folder("d"), link("d/a", "x/../../../y")),
        "goes up again from something that is no folder",
    ),
    "climbs through a link it brought": (
        archive(link("a", "."), member("a/evil", b"x")),
        "takes something for a folder that is none, or a link",
    ),
    "climbs by two links": (
        archive(folder("d/e"), link("d/e/up", "../.."), link("d/e/out", "up/../x")),
        "goes up again from something that is no folder",
    ),
    "climbs by a link to a folder": (
        archive(folder("d"), folder("d/e"), link("s", "d/e"), link("t", "s/../../x")),
        "goes up again",
    ),
    "makes a folder of a link": (archive(link("a", "b"), folder("a")), "none, or a link"),
    "makes a folder of a file": (archive(member("a"), member("a/b")), "none, or a link"),
    "makes a file of a folder": (archive(folder("a"), member("a", b"x")), "none, or a link"),
    "makes a link of a folder": (archive(folder("a"), link("a", "b")), "none, or a link"),
    "links hard to the outside": (
        archive(link("a", "../secret", tarfile.LNKTYPE)),
        "climbs out of the destination",
    ),
    "links hard to an absolute name": (
        archive(link("a", "/etc/passwd", tarfile.LNKTYPE)),
        "absolute name",
    ),
    "links hard through a link": (
        archive(link("s", "."), link("a", "s/x", tarfile.LNKTYPE)),
        "none, or a link",
    ),
    "links hard to a link": (
        archive(link("s", "x"), link("a", "s", tarfile.LNKTYPE)),
        "which is no file in it",
    ),
    "links hard to a folder": (
        archive(folder("d"), link("a", "d", tarfile.LNKTYPE)),
        "which is no file in it",
    ),
    "links hard to nothing": (archive(link("a", "b", tarfile.LNKTYPE)), "which is no file in it"),
    "links hard to the destination": (
        archive(link("a", ".", tarfile.LNKTYPE)),
        "which is no file in it",
    ),
    "links to an empty target": (archive(link("a", "")), "link to nothing"),
    "has a NUL in its name": (
        archive(member("a", pax_headers={"path": "a\0b"})),
        "has a NUL byte in its name",
    ),
    "has a NUL in its target": (
        archive(member("a", kind=tarfile.SYMTYPE, pax_headers={"linkpath": "a\0b"})),
        "link to nothing",
    ),
    "is a character device": (archive(member("a", kind=tarfile.CHRTYPE)), "a character device"),
    "is a block device": (archive(member("a", kind=tarfile.BLKTYPE)), "a block device"),
    "is a named pipe": (archive(member("a", kind=tarfile.FIFOTYPE)), "a named pipe"),
    "is sparse": (archive(member("a", kind=tarfile.GNUTYPE_SPARSE)), "a sparse file"),
    "is sparse by pax": (
        archive(member("a", pax_headers={"GNU.sparse.major": "1"})),
        "a sparse file",
    ),
    "is of no known type": (archive(member("a", kind=b"Z")), "unknown type b'Z'"),
    "brings an attribute with a NUL in its name": (
        archive(member("a", pax_headers={"SCHILY.xattr.user.a\0b": "x"})),
        "only users' own are taken",
    ),
    "brings an attribute of the kernel's": (
        archive(member("a", pax_headers={"SCHILY.xattr.security.capability": "x"})),
        "only users' own are taken",
    ),
}


THROUGH_LINKS: dict[str, bytes] = {
    "a file": archive(link("way", "/tmp"), member("way/tether-planted", b"x")),
    "a folder": archive(link("way", "/tmp"), folder("way/tether-planted")),
    "a link": archive(link("way", "/tmp"), link("way/tether-planted", "x")),
    "a hard link": archive(
        member("a"), link("way", "/tmp"), link("way/tether-planted", "a", tarfile.LNKTYPE)
    ),
    "a hard link from there": archive(
        link("way", "/etc"), link("mine", "way/passwd", tarfile.LNKTYPE)
    ),
    "a hard link to the link": archive(
        link("way", "/etc/passwd"), link("mine", "way", tarfile.LNKTYPE)
    ),
    "modes of a folder": archive(folder("way"), link("other", "/tmp"), folder("other", 0o700)),
    "two links": archive(link("one", ".."), link("one/two", "..")),
    "climbing links": archive(folder("d"), link("d/up", "../.."), member("d/up/tether-planted")),
}
"""A kept link first, and then something that would follow it."""
