"""Starting: what a process gets, and one error for each way that it cannot be started."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tether_runtime_client.processes import (
    PIPE,
    ArgumentsTooLong,
    CommandNotFound,
    ExitStatus,
    InvalidArgument,
    NotExecutable,
    Process,
    ProcessStartError,
    SpawnFailed,
    UnknownUser,
    UserNotPermitted,
    WorkingDirectoryMissing,
    start_process,
)
from tether_runtime_client.processes import exits as exits_module

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

Run = Callable[..., Awaitable[tuple[ExitStatus, bytes, bytes]]]


@pytest_asyncio.fixture
async def run() -> AsyncIterator[Run]:
    """Run to the end and return how it ended with both outputs; kills what a test leaves."""
    started: list[Process] = []

    async def run_to_end(command: Any, **options: Any) -> tuple[ExitStatus, bytes, bytes]:
        output = {"stdout": bytearray(), "stderr": bytearray()}
        process = start_process(
            command, lambda stream, data: output[stream].extend(data), **options
        )
        started.append(process)
        status = await process.wait()
        return status, bytes(output["stdout"]), bytes(output["stderr"])

    yield run_to_end
    for process in started:
        process.kill()
        process.close()


# What it gets


async def test_argv_is_taken_as_it_is(run: Run) -> None:
    result = await run(["printf", "%s|", "a b", "*", "$HOME", "", "ü\udcff"])
    assert result == (ExitStatus(0), "a b|*|$HOME||ü".encode() + b"\xff|", b"")


async def test_text_is_for_a_shell(run: Run) -> None:
    status, out, err = await run("echo $((6*7)); echo no >&2; exit 3")
    assert (status, status.exit_code, out, err) == (ExitStatus(3), 3, b"42\n", b"no\n")


async def test_another_shell(run: Run) -> None:
    assert (await run("import sys; print(sys.argv)", shell=["python3", "-c"]))[1] == b"['-c']\n"


async def test_signal_is_told_apart_from_a_code(run: Run) -> None:
    status = (await run("kill -TERM $$"))[0]
    assert (status, status.exit_code) == (ExitStatus(None, signal.SIGTERM), 143)


async def test_empty_and_whole_input(run: Run) -> None:
    assert (await run(["cat"]))[1] == b""
    assert (await run(["cat"], stdin=b""))[1] == b""
    assert (await run(["wc", "-c"], stdin=b"\0" * 3_000_001))[1].strip() == b"3000001"


async def test_input_that_is_not_read(run: Run) -> None:
    assert (await run(["true"], stdin=b"x" * 5_000_000))[0] == ExitStatus(0)


async def test_environment_is_the_whole_one(run: Run) -> None:
    assert (await run(["/usr/bin/env"], env={"A": "1", "Ü": "ü"}))[1] == "A=1\nÜ=ü\n".encode()
    assert (await run("echo $PATH"))[1].decode().strip() == os.environ["PATH"]


async def test_path_is_the_one_it_is_given(run: Run, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "tool"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    assert (await run(["tool"], env={"PATH": f"/nowhere:{program.parent}"}))[1] == b"found\n"
    assert (await run(["tool"], env={"PATH": "bin"}, cwd=str(tmp_path)))[1] == b"found\n"
    assert (await run(["bin/tool"], cwd=str(tmp_path)))[1] == b"found\n"
    assert (await run(["true"], env={}))[0] == ExitStatus(0)


async def test_working_directory_and_umask(run: Run, tmp_path: Path) -> None:
    assert (await run("pwd; umask", cwd=str(tmp_path), umask=0o27))[1].decode() == (
        f"{tmp_path}\n0027\n"
    )


async def test_it_leads_a_session_without_a_terminal(run: Run) -> None:
    out = (await run("ps -o pid=,pgid=,sid=,tty= -p $$"))[1].split()
    assert out[0] == out[1] == out[2]
    assert out[3] == b"?"


async def test_signals_have_their_defaults(run: Run) -> None:
    """Python ignores SIGPIPE; a program that inherits that never ends in a pipeline."""
    out = (await run("grep -E '^Sig(Ign|Blk)' /proc/self/status"))[1]
    _, blocked, _, ignored = out.split()
    # Signals 32 and 33 are the C library's own: it passes on whatever it was started with. The
    # hang-up is ignored where these tests run under nohup; a client's supervisor resets it.
    theirs = 0b11 << 31 | 1 << (signal.SIGHUP - 1)
    assert (int(blocked, 16) & ~theirs, int(ignored, 16) & ~theirs) == (0, 0)


async def test_no_descriptor_is_passed_on(run: Run) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    try:
        assert (await run("ls /proc/self/fd"))[1].split() == [b"0", b"1", b"2", b"3"]
    finally:
        os.close(read_end)
        os.close(write_end)


async def test_it_is_killed_before_the_client_when_memory_runs_out(run: Run) -> None:
    assert (await run("sleep 0.05; cat /proc/self/oom_score_adj"))[1] == b"500\n"
    unchanged = (await run(["cat", "/proc/self/oom_score_adj"], oom_score=None))[1]
    assert unchanged == oom_score()


def oom_score() -> bytes:
    return Path("/proc/self/oom_score_adj").read_bytes()


# Other users


@root_only
@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("nobody", "65534 65534 65534"),
        ("nobody:root", "65534 0 0"),
        ("nobody:12345", "65534 12345 12345"),
        ("12345", "12345 0 0"),
        (12345, "12345 0 0"),
        ("12345:54321", "12345 54321 54321"),
        ("root", "0 0 0"),
        (65534, "65534 65534 65534"),
    ],
)
async def test_user(run: Run, user: str | int, ids: str) -> None:
    status, out, err = await run("echo $(id -u) $(id -g) $(id -G)", user=user, cwd="/")
    assert (status.code, out.decode().strip(), err) == (0, ids, b"")


@root_only
async def test_user_names_its_environment(run: Run) -> None:
    out = (await run("echo $HOME $USER $LOGNAME", user="nobody", cwd="/"))[1]
    assert out == b"/nonexistent nobody nobody\n"


@root_only
async def test_supplementary_groups(run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tether_runtime_client.processes.users.GROUP", str(tmp_path / "group"))
    (tmp_path / "group").write_text("a:x:7001:x,nobody\nb:x:7002:\nbroken\nc:x:7003:nobody\n")
    assert (await run("id -G", user="nobody", cwd="/"))[1] == b"65534 7001 7003\n"
    assert (await run("id -G", user="nobody:b", cwd="/"))[1] == b"7002\n"


@root_only
async def test_accounts_need_no_files(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr("tether_runtime_client.processes.users.PASSWD", "/no/such")
    monkeypatch.setattr("tether_runtime_client.processes.users.GROUP", "/no/such")
    assert (await run("id -u; echo $HOME", user=4321, cwd="/"))[1] == b"4321\n/\n"


@pytest.mark.parametrize("user", ["nosuch", "root:nosuch", "", "99999999999", "-1"])
async def test_unknown_user(run: Run, user: str) -> None:
    with pytest.raises(UnknownUser, match=r"there is no (user|group)") as caught:
        await run(["true"], user=user)
    assert caught.value.data == {"user": user}


async def test_user_that_an_unprivileged_client_cannot_become(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserNotPermitted, match="runs as user 1000 and cannot become 'root'"):
        await run(["true"], user="root")


async def test_own_user_needs_no_privilege(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    assert (await run(["true"], user="1000:1000"))[0] == ExitStatus(0)
    assert (await run(["true"], user="1000"))[0] == ExitStatus(0)


@root_only
def test_user_that_the_kernel_refuses() -> None:
    """A root without CAP_SETUID, as in a sandbox with dropped capabilities."""
    code = (
        "import asyncio, sys\n"
        "from tether_runtime_client.processes import start_process, UserNotPermitted\n"
        "async def main():\n"
        "    try: start_process(['true'], print, user='nobody', cwd='/')\n"
        "    except UserNotPermitted: print('refused')\n"
        "asyncio.run(main())"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid", "python3", "-c", code],
        env=os.environ | {"PYTHONPATH": str(Path(exits_module.__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "refused\n", done.stderr


# Errors


async def test_command_not_found(run: Run) -> None:
    with pytest.raises(CommandNotFound, match=r"no program 'no-such-tool' on PATH.*PATH") as caught:
        await run(["no-such-tool"], env={"PATH": "/bin"})
    assert caught.value.data == {"command": "no-such-tool", "path": "/bin"}
    for path in ("/no/such/tool", "./tool", "/etc/passwd/tool"):
        with pytest.raises(CommandNotFound, match="there is no program at"):
            await run([path])


async def test_not_executable(run: Run, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    with pytest.raises(NotExecutable, match=r"Permission denied.*chmod \+x"):
        await run([str(plain)])
    with pytest.raises(NotExecutable, match=r"plain may not be executed.*chmod \+x"):
        await run(["plain"], env={"PATH": str(tmp_path)})
    plain.chmod(0o755)
    plain.write_text("#!/no/such/interpreter\n")
    with pytest.raises(NotExecutable, match="interpreter or loader"):
        await run([str(plain)])
    plain.write_bytes(b"\x7fELF\x02garbage")
    with pytest.raises(NotExecutable, match="no program for this machine"):
        await run(["./plain"], cwd=str(tmp_path))
    with plain.open("a"), pytest.raises(NotExecutable, match="open for writing"):
        await run([str(plain)])
    with pytest.raises(NotExecutable, match="is a directory"):
        await run([str(tmp_path)])


@pytest.mark.parametrize("cwd", ["/no/such", "/etc/passwd", "", "a\0b"])
async def test_working_directory_missing(run: Run, cwd: str) -> None:
    with pytest.raises(WorkingDirectoryMissing, match="cannot be entered") as caught:
        await run(["true"], cwd=cwd)
    assert caught.value.data == {"cwd": cwd}


@pytest.mark.parametrize("longest", [200_000, 100])
async def test_arguments_too_long(run: Run, longest: int) -> None:
    argv = ["true", *["x" * longest] * (3_000_000 // longest)]
    with pytest.raises(ArgumentsTooLong, match="standard input or in a file") as caught:
        await run(argv)
    assert caught.value.data["longest"] >= longest + 1
    assert caught.value.data["bytes"] > 3_000_000
    with pytest.raises(ArgumentsTooLong):
        await run("echo " + "x" * 200_000)
    with pytest.raises(ArgumentsTooLong):
        await run(["true"], env={"A": "x" * 200_000})


@pytest.mark.parametrize(
    ("command", "env", "why"),
    [
        (["echo", "a\0b"], {}, "NUL"),
        ("echo \0", {}, "NUL"),
        (["true"], {"A": "a\0"}, "'A' has a NUL"),
        (["true"], {"A=B": "c"}, "'A=B' cannot be the name"),
        (["true"], {"": "c"}, "cannot be the name"),
        (["true", "\ud800"], {}, "cannot be encoded"),
        ([], {}, "no program to run"),
        ([""], {}, "no program to run"),
    ],
)
async def test_invalid_argument(run: Run, command: Any, env: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        await run(command, env=env)


async def test_limits_of_the_kernel(run: Run, monkeypatch: Any) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(SpawnFailed, match=r"temporarily unavailable.*limits") as caught:
        await run(["true"], stdin=b"x")
    assert caught.value.data == {"errno": 11}
    assert len(os.listdir("/proc/self/fd")) == before


async def test_no_descriptors_left(run: Run) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 2, hard))
    try:
        with pytest.raises(SpawnFailed, match="Too many open files"):
            await run(["true"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (await run(["true"]))[0] == ExitStatus(0)


async def test_failed_starts_leave_nothing_behind(run: Run) -> None:
    await run(["true"])
    before = len(os.listdir("/proc/self/fd"))
    for command, options in (
        (["/no/such"], {}),
        (["no-such"], {}),
        (["true"], {"cwd": "/no/such"}),
        (["true", "x" * 200_000], {}),
    ):
        with pytest.raises(ProcessStartError):
            await run(command, stdin=b"", **options)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_every_error_says_what_to_do(run: Run) -> None:
    for command, options in (
        (["/no/such"], {}),
        (["no-such"], {}),
        (["/etc/passwd"], {}),
        (["true"], {"cwd": "/no/such"}),
        (["true"], {"user": "nosuch"}),
        (["true", "x" * 200_000], {}),
        (["true", "\0"], {}),
    ):
        with pytest.raises(ProcessStartError) as caught:
            await run(command, **options)
        assert caught.value.hint
        assert str(caught.value).endswith(caught.value.hint)


# Cost


async def test_a_start_to_end_takes_few_milliseconds(run: Run) -> None:
    """About 1 ms on an idle machine; the best of many is what other work leaves alone."""
    times = []
    for _ in range(50):
        started = time.perf_counter()
        await run(["true"], stdin=None)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.010


def test_pipe_is_no_input() -> None:
    assert PIPE == "pipe"
