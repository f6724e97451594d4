"""Skills of a sandbox: listed for a prompt, called in its shell, and added while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_runtime_client.protocol.errors import ActionError, InvalidAction
from tether_server import CmdRunAction, EventStreamRuntime, IPythonRunCellAction


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    for name, text in {
        "here/greeting.py": "def hello(name: str) -> str:\n  'Greets.'\n  return 'hello ' + name\n",
        "here/pack/__init__.py": "from .inner import work as labour\n",
        "here/pack/inner.py": "def work() -> int: return 42\n",
        "here/pack/__pycache__/old.pyc": "",
        "here/broken.py": "def (:\n",
        "here/json.py": "def dump(): ...\n",
        "start/local_tools/__init__.py": "",
        "start/local_tools/deep.py": "def where() -> str: return __name__\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


async def test_skills_are_listed_called_and_added(modules: Path) -> None:
    async with EventStreamRuntime(
        None,
        backend="local",
        plugins=["agent_skills", "documents", "jupyter"],
        workdir=str(modules / "start"),
        login=True,  # its profile sets PATH anew
    ) as runtime:

        async def shell(command: str) -> tuple[int | None, str]:
            done = await runtime.run(CmdRunAction(command=command))
            return done.exit_code, done.content

        async def cell(code: str) -> str:
            return (await runtime.run(IPythonRunCellAction(code=code))).content

        assert await cell("from tether_plugins.agent_skills import find_file") == ""  # it runs now
        _, path = await shell("type -P skill")
        assert path.endswith("/run/bin/skill\n")
        called = await runtime.exec(["skill", "search-dir", "where", "."])
        assert called.exit_code == 0
        assert b"deep.py:1|def where()" in called.stdout

        skills = await runtime.skills()
        assert {skill.module for skill in skills} == {
            "tether_plugins.agent_skills",
            "tether_plugins.documents",
        }
        assert "from tether_plugins.documents import parse_docx, parse_pdf" in str(skills)
        assert "search_dir(search_term: str, dir_path: str = '.') -> None" in str(skills)

        [hello] = await runtime.add_skills(modules / "here" / "greeting.py")
        assert (hello.module, hello.signature) == ("greeting", "(name: str) -> str")
        [labour] = await runtime.add_skills(str(modules / "here" / "pack"))
        assert (labour.module, labour.name) == ("pack", "labour")
        [where] = await runtime.add_skills("local_tools.deep")
        assert where.module == "local_tools.deep"
        assert await shell("skill hello you && skill labour && skill where") == (
            0,
            "hello you\n42\nlocal_tools.deep\n",
        )
        added = [skill.module for skill in await runtime.skills()][-3:]
        assert sorted(added) == ["greeting", "local_tools.deep", "pack"]
        assert not list(Path(skills.folder).rglob("*.pyc"))

        assert "hello cell" in await cell("from greeting import hello; hello('cell')")
        assert "local_tools.deep" in await cell("from local_tools.deep import where; where()")

        (modules / "here" / "greeting.py").write_text("def bye() -> str: return 'bye'\n")
        await runtime.add_skills(modules / "here" / "greeting.py")
        assert await shell("skill bye") == (0, "bye\n")

        for wrong in (
            modules / "absent.py",
            modules / "here" / "json.py",
            "./absent",
            modules / "here",
            "no name",
            "/etc/passwd",
        ):
            with pytest.raises(InvalidAction):
                await runtime.add_skills(wrong)
        with pytest.raises(ActionError, match="there is no module absent"):
            await runtime.add_skills("absent")
        with pytest.raises(ActionError, match=r"broken\.py, line 1: invalid syntax"):
            await runtime.add_skills(modules / "here" / "broken.py")
        (modules / "here" / "greeting.py").write_text("def (:\n")
        with pytest.raises(ActionError, match=r"greeting\.py, line 1: invalid syntax"):
            await runtime.add_skills(modules / "here" / "greeting.py")

        # What comes from here takes the place of a link, and not of what that leads to.
        (modules / "here" / "local_tools.py").write_text("def ours(): ...\n")
        [ours] = await runtime.add_skills(modules / "here" / "local_tools.py")
        assert ours.name == "ours"
        assert (modules / "start" / "local_tools" / "deep.py").exists()
        listed = await runtime.skills()
        assert {"bye", "ours"} <= {skill.name for skill in listed}
        assert listed.problems == ()

        many = "".join(f"def f{n}(): ...\n" for n in range(2_100))
        (modules / "here" / "many.py").write_text(many)
        told = await runtime.add_skills(modules / "here" / "many.py")
        assert len(told) == 2_088
        assert told.problems == ("12 more skills: skill --list has them",)


async def test_without_plugins_nothing_is_on_the_path() -> None:
    async with EventStreamRuntime(None, backend="local") as runtime:
        done = await runtime.run(CmdRunAction(command='case "$PATH" in */run/bin*) exit 3; esac'))
        assert done.exit_code == 0
