"""Options: understood, or refused by name before anything starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tether_runtime_client.settings import (
    CLIENT_USAGE,
    ClientSettings,
    SettingsError,
    parse_settings,
    private_folder,
    split_address,
)

NEEDED = ["--run-dir", "/run/x", "--unix", "/s"]


def test_all_of_them() -> None:
    args = (
        "--run-dir /run/x --unix=/s/client.sock --tcp 0.0.0.0:0 --lease 2.5 --ready-fd=7"
        " --bash /bin/bash --bundled-bash /opt/bash --plugins /opt/p --plugin-config eyJhIjp7fX0="
    )
    assert parse_settings(args.split()) == ClientSettings(
        run_dir=Path("/run/x"),
        unix=Path("/s/client.sock"),
        tcp="0.0.0.0:0",
        lease=2.5,
        ready_fd=7,
        bash="/bin/bash",
        bundled_bash="/opt/bash",
        plugins=Path("/opt/p"),
        plugin_config={"a": {}},
    )


def test_what_is_not_given_is_none() -> None:
    settings = parse_settings(NEEDED)
    assert (settings.tcp, settings.lease, settings.ready_fd) == (None, None, None)
    assert settings.state == Path("/run/x/state")


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse_settings(["--run-dir=/a=b", "--unix", "/s=t"]).run_dir == Path("/a=b")


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ([], "--run-dir is missing"),
        (["--run-dir", "/x"], "one of --unix, --tcp and --dial"),
        (["--dial", "x", "--run-dir", "/r"], "HOST:PORT"),
        (["--dial", "x:1", "--dial-proxy", "socks://p:1", "--run-dir", "/r"], "http://"),
        (["--unix", "/s", "--dial-proxy", "http://p:1", "--run-dir", "/r"], "are for --dial"),
        (["--dial", "x:1", "--dial-authority", "!", "--run-dir", "/r"], "--dial-authority"),
        (["--unix", "/s"], "--run-dir is missing"),
        ([*NEEDED, "--surprise", "1"], "unknown option '--surprise'"),
        ([*NEEDED, "--state", "1"], "unknown option '--state'"),
        ([*NEEDED, "--plugin-config", "e30!"], "--plugin-config cannot be"),
        ([*NEEDED, "--plugin-config", "W10="], "an object of objects"),
        ([*NEEDED, "--plugin-config", "eyJhIjoxfQ=="], "an object of objects"),
        ([*NEEDED, "stray"], "unknown option 'stray'"),
        ([*NEEDED, "-x"], "unknown option '-x'"),
        ([*NEEDED, "--lease"], "--lease cannot be ''"),
        ([*NEEDED, "--lease", "soon"], "--lease cannot be 'soon'"),
        ([*NEEDED, "--lease", "nan"], "above 0"),
        ([*NEEDED, "--lease", "inf"], "above 0"),
        ([*NEEDED, "--lease", "-1"], "above 0"),
        ([*NEEDED, "--lease", "0"], "above 0"),
        ([*NEEDED, "--ready-fd", "-1"], "number of a descriptor"),
        ([*NEEDED, "--ready-fd", "x"], "--ready-fd cannot be 'x'"),
        ([*NEEDED, "--bash="], "--bash cannot be ''"),
        (["--run-dir", "/x", "--unix"], "--unix cannot be ''"),
        (["--run-dir=", "--unix", "/s"], "--run-dir cannot be ''"),
        ([*NEEDED, "--tcp", "1234"], "HOST:PORT"),
        ([*NEEDED, "--tcp", ":80"], "HOST:PORT"),
        ([*NEEDED, "--tcp", "host:"], "HOST:PORT"),
        ([*NEEDED, "--tcp", "host:65536"], "HOST:PORT"),
        ([*NEEDED, "--tcp", "host:-1"], "HOST:PORT"),
        ([*NEEDED, "--tcp", "host:٣"], "HOST:PORT"),
    ],
)
def test_refused(args: list[str], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        parse_settings(args)


def test_an_empty_value_does_not_swallow_the_next_option() -> None:
    with pytest.raises(SettingsError, match="--bash cannot be"):
        parse_settings([*NEEDED, "--bash=", "--tcp"])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:5000", ("::1", 5000)),
        ("::1:5000", ("::1", 5000)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


def test_every_option_is_in_the_usage() -> None:
    for name in ClientSettings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')} " in CLIENT_USAGE


# --- the private folder ------------------------------------------------------------------------


def test_it_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "state"
    assert private_folder(path) == path
    assert path.stat().st_mode & 0o777 == 0o700
    assert private_folder(path) == path


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o777])
def test_one_that_others_may_enter_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "state"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(SettingsError, match="not a private folder"):
        private_folder(path)


def test_a_planted_link_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    link = tmp_path / "state"
    link.symlink_to(target)
    with pytest.raises(SettingsError, match="not a private folder"):
        private_folder(link)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch(mode=0o600)
    with pytest.raises(SettingsError, match="cannot be made"):
        private_folder(tmp_path / "state")
    with pytest.raises(SettingsError, match="cannot be made"):
        private_folder(tmp_path / "state" / "below")


def test_another_users_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a folder away needs root")
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    os.chown(path, 12345, 12345)
    with pytest.raises(SettingsError, match="not a private folder"):
        private_folder(path)
