"""What a shell is told, said to real shells."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_image_builder.spec import script


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of a step, here."""
    (tmp_path / "step").mkdir()
    (tmp_path / "secrets").mkdir()
    for name, place in (("WORK", "step"), ("SECRETS", "secrets")):
        monkeypatch.setattr(script, name, str(tmp_path / place))
    for name in ("CERTIFICATES", "APT_SETTINGS", "SCRIPT", "AT"):
        own = tmp_path / "step" / getattr(script, name).rpartition("/")[2]
        monkeypatch.setattr(script, name, str(own))
    return tmp_path


def run(
    shell: str, commands: list[str], files: dict[str, bytes]
) -> subprocess.CompletedProcess[bytes]:
    told = script.program(shell, commands, files)
    return subprocess.run([shell], input=told, capture_output=True, cwd="/")


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_files_are_laid_down_exactly_and_secrets_are_their_owners(places: Path, shell: str) -> None:
    secret = bytes(range(256)) + b"'\\n%s%b\n"
    text = b'it\'s 100%\\ "$HOME" `id`\n\n'
    files = {f"{places}/secrets/all": secret, f"{places}/step/text": text}
    done = run(shell, ["umask", "cat", "echo end"], files)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"22\nend\n")  # nothing is left to read on standard input
    assert (places / "secrets" / "all").read_bytes() == secret
    assert (places / "step" / "text").read_bytes() == text
    assert oct((places / "secrets" / "all").stat().st_mode)[-3:] == "600"
    assert oct((places / "step" / "text").stat().st_mode)[-3:] == "644"


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_one_shell_runs_all_until_one_fails_and_says_where_it_was(places: Path, shell: str) -> None:
    done = run(shell, ["cd /usr; x=1", 'echo "$x $PWD"', "(exit 7)", "echo no"], {})
    assert (done.returncode, done.stdout) == (7, b"1 /usr\n")
    assert (places / "step" / "at").read_text() == "3\n"


def test_commands_may_be_anything(places: Path) -> None:
    document = "cat <<'EOF'\n$a 'ü' \\\nEOF"
    done = run("/bin/sh", [document, "# nothing", "printf '%s' \"it's\""], {})
    assert done.stdout.decode() == "$a 'ü' \\\nit's"


def test_a_place_that_cannot_be_written_to_is_an_end(places: Path) -> None:
    done = run("/bin/sh", ["true"], {f"{places}/nowhere/x": b""})
    assert done.returncode == script.OWN_FAILURE


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_printed(content: bytes) -> None:
    for shell in ("/bin/sh", "/bin/bash"):
        done = subprocess.run([shell], input=script._printed(content), capture_output=True)
        assert done.stdout == content


def test_package_managers_wait_and_nothing_asks() -> None:
    variables = script.environment(has_certificates=False, has_secrets=False)
    assert variables["DEBIAN_FRONTEND"] == "noninteractive"
    assert "TETHER_SECRETS" not in variables
    assert "SSL_CERT_FILE" not in variables
    settings = script.apt_settings('Acquire::Retries "3";', has_certificates=True)
    assert settings.splitlines() == [
        'DPkg::Lock::Timeout "300";',
        'Acquire::Retries "3";',
        'Acquire::https::CaInfo "/dev/tether/step/ca.crt";',
    ]


def test_apt_takes_the_settings_and_the_images_own_count_more(tmp_path: Path) -> None:
    (tmp_path / "lent").write_text(script.apt_settings("", has_certificates=False))
    (tmp_path / "parts").mkdir()
    variables = {**os.environ, "APT_CONFIG": str(tmp_path / "lent")}

    def timeout() -> str:
        command = ["apt-config", "dump", "--format", "%v%n", "DPkg::Lock::Timeout"]
        return subprocess.run(command, env=variables, capture_output=True, text=True).stdout

    assert timeout() == "300\n"
    own = tmp_path / "parts" / "50own"
    own.write_text('DPkg::Lock::Timeout "7";\n')
    with (tmp_path / "lent").open("a") as file:
        file.write(f'Dir::Etc::parts "{tmp_path}/parts";\n')
    assert timeout() == "7\n"
