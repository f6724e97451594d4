"""Any tree at all, for tests with hypothesis. Not collected by pytest.

Names are any bytes but NUL and `/`; files are of any mode and of sizes around every boundary of
blocks, pieces and messages; links are symbolic ones, also to nothing, and hard ones.
"""

import os
from pathlib import Path

from hypothesis import strategies as st

from tether_runtime_client.protocol.limits import BULK_CHUNK

Node = tuple[str, object, int]
Tree = dict[bytes, Node]

SIZES = (
    *(0, 1, 511, 512, 513, 1023, 1024, 1025, 65_535, 65_536, 65_537),
    *(BULK_CHUNK - 513, BULK_CHUNK - 512, BULK_CHUNK - 511),
    *(BULK_CHUNK - 1, BULK_CHUNK, BULK_CHUNK + 1, 2 * BULK_CHUNK, 1_000_000),
)

_bytes = st.binary(min_size=1, max_size=60) | st.binary(min_size=250, max_size=255)
names = _bytes.filter(lambda name: not set(name) & {0, ord("/")} and name not in (b".", b".."))
targets = st.lists(names | st.just(b".."), min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from((b"/".join(parts), b"/" + b"/".join(parts)))
)
"""What a symbolic link may lead to: relative, absolute or climbing."""

times = st.integers(min_value=-(2**31), max_value=2**31) | st.integers(0, 2**32)
contents = st.binary(max_size=2000) | st.tuples(st.sampled_from(SIZES), st.binary(min_size=1)).map(
    lambda pair: (pair[1] * (pair[0] // len(pair[1]) + 1))[: pair[0]]
)


def trees(links: st.SearchStrategy[bytes] = names) -> st.SearchStrategy[Tree]:
    """Folders by name; a symbolic link's text comes from `links`."""
    nodes = st.recursive(
        st.one_of(
            st.tuples(st.just("file"), contents, st.integers(0, 0o777)),
            st.tuples(st.just("link"), links, st.just(0)),
            st.tuples(st.just("again"), st.integers(0, 5), st.just(0)),
        ),
        lambda below: st.tuples(
            st.just("folder"), st.dictionaries(names, below, max_size=5), st.integers(0o700, 0o777)
        ),
        max_leaves=15,
    )
    return st.dictionaries(names, nodes, max_size=6)


def grow(root: Path, tree: Tree, when: int) -> Path:
    """Make the tree on disk, all of it with the same time in seconds."""
    _grow(os.fsencode(root), ("folder", tree, 0o755), [], when)
    return root


def _grow(path: bytes, node: Node, files: list[bytes], when: int) -> None:
    kind, content, mode = node
    if kind == "folder":
        os.mkdir(path)
        assert isinstance(content, dict)
        for name, below in content.items():
            _grow(os.path.join(path, name), below, files, when)
        os.chmod(path, mode)
    elif kind == "file" or (kind == "again" and not files):
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else b"")
        os.chmod(path, mode)
        files.append(path)
    elif kind == "again":
        assert isinstance(content, int)
        os.link(files[content % len(files)], path)
    else:
        assert isinstance(content, bytes)
        os.symlink(content, path)
    os.utime(path, ns=(0, when * 1_000_000_007), follow_symlinks=False)
