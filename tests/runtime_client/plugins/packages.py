"""The corpus as pip installs it: two packages' entry points and declarations, and the code."""

from __future__ import annotations

from pathlib import Path

from .house import HERE

BAD = """
name = "bad"
door = 1
entry = "corpus.plugin:Bad"
config = "corpus.messages:Config"
start = "{start}"
[actions."bad.do"]
model = "corpus.messages:DoAction"
observation = "corpus.messages:DoneObservation"
[events]
"bad.told" = "corpus.messages:Told"
"""
GOOD = """
name = "good"
door = 1
entry = "corpus.good:Good"
[actions."good.say"]
model = "corpus.good:SayAction"
observation = "corpus.good:Said"
[events]
"good.saying" = "corpus.good:Saying"
"""


def install_packages(site: Path, *, start: str = "first_use") -> None:
    """Put both into a folder of packages."""
    site.mkdir()
    (site / "corpus").symlink_to(HERE / "corpus")
    for name, declaration in (("bad", BAD.format(start=start)), ("good", GOOD)):
        package = site / f"corpus_{name}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "tether-plugin.toml").write_text(declaration)
        info = site / f"corpus_{name}-1.2.3.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: corpus-{name}\nVersion: 1.2.3\n"
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[tether.plugins]\n{name} = corpus_{name}\n")
