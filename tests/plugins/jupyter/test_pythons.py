"""Which Python a kernel has, and what is brought beside it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tether_plugins.jupyter.pythons import candidates
from tether_runtime_client.protocol import KernelStartFailed

from .in_process import notebook

BASE = os.path.realpath(sys.executable)
TAG = "cp{}{}-manylinux".format(*sys.version_info)


def make_python(folder: Path, **packages: str) -> str:
    """A Python with nothing but these packages, which are nothing but their versions."""
    command = [BASE, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    [site] = folder.glob("lib/python3*/site-packages")
    for name, version in packages.items():
        (site / f"{name}.py").write_text("OWN = True\n")
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(text)
    return str(folder / "bin" / "python")


def make_prefix(folder: Path) -> Path:
    """What an image's layer has: here it leads to the packages of this Python."""
    (folder / "kernels").mkdir(parents=True)
    (folder / "kernels" / TAG).symlink_to(sysconfig.get_path("purelib"))
    return folder


async def test_what_is_brought_comes_behind_a_python_s_own_packages(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "prefix")
    python = make_python(tmp_path / "plain", tabulate="1.0")
    async with notebook(tmp_path, prefix) as one:
        code = "import tabulate, ipykernel, sys\nprint(tabulate.OWN, sys.prefix)"
        seen = await one.run(code, python=python)
        assert seen.content == f"True {tmp_path / 'plain'}\n"
        assert seen.python is not None
        assert (seen.python.brought, seen.python.source) == ("after", "named")


async def test_it_comes_first_where_one_of_them_is_too_old(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "prefix")
    python = make_python(tmp_path / "old", traitlets="4.0")
    async with notebook(tmp_path, prefix) as one:
        seen = await one.run("import traitlets; hasattr(traitlets, 'OWN')", python=python)
        assert seen.content == "False"
        assert seen.python is not None
        assert seen.python.brought == "before"
        own = await one.run("1", kernel="own", python=sys.executable)
        assert own.python is not None
        assert own.python.brought == "none"


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there is no wheel of it")
async def test_a_matplotlib_of_years_ago_shows_its_figures(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "prefix")
    python = make_python(tmp_path / "old")
    [site] = (tmp_path / "old").glob("lib/python3*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(site)]
    install += ["matplotlib==3.6.3", "numpy<2"]  # Debian 12's and Ubuntu 24.04's
    await asyncio.to_thread(subprocess.run, install, check=True)
    async with notebook(tmp_path, prefix) as one:
        code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
        seen = await one.run(code, python=python)
        assert seen.status == "ok", seen.content
        assert [output.type for output in seen.outputs] == ["display_data"]
        assert (seen.outputs[0].data.png or b"").startswith(b"\x89PNG")  # type: ignore[union-attr]


async def test_auto_takes_the_environment_s_where_no_kernel_comes_up(tmp_path: Path) -> None:
    python = make_python(tmp_path / "bare")
    async with notebook(tmp_path, python="auto") as one:
        one.environment["PATH"] = str(Path(python).parent)
        seen = await one.run("1")
        assert seen.python is not None
        assert (seen.python.source, seen.python.executable) == ("environment", sys.executable)
        assert 'it has no ipykernel, and backend="local" brings none' in seen.python.reason
        with pytest.raises(KernelStartFailed, match="it has no ipykernel"):
            await one.run("1", kernel="second", python="image")


def test_a_python_is_found_by_path_program_and_name(tmp_path: Path) -> None:
    program = tmp_path / "python3"
    program.write_text("")
    program.chmod(0o755)
    path = {"PATH": str(tmp_path)}
    names = {"mine": str(program)}
    for wanted in ("python3", "mine", str(program)):
        [found] = candidates(wanted, names, path)
        assert (found.executable, found.source) == (str(program), "named")
    assert [one.source for one in candidates("auto", {}, path)] == ["image", "environment"]
    assert [one.source for one in candidates("auto", {}, {"PATH": ""})] == ["environment"]
    for wanted in ("relative/python3", "python9", "image"):
        with pytest.raises(KernelStartFailed):
            candidates(wanted, {}, {"PATH": "/nowhere"})


async def test_what_an_earlier_life_of_the_plugin_had_is_told_as_lost(tmp_path: Path) -> None:
    async with notebook(tmp_path) as one:
        await one.run("x = 1")
    async with notebook(tmp_path) as again:
        seen = await again.run("1")
        assert seen.state_lost is not None
        assert "its kernels with it" in seen.state_lost.reason
        assert (await again.run("1")).state_lost is None
