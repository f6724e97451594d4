"""The linter: what it warns of, and what it leaves alone."""

from __future__ import annotations

import pytest

from tether_image_builder.spec import FileStep, ShellStep, Spec, lint

UPDATE = "apt-get update\n"


def codes(*scripts: str | tuple[str, ...], **fields: dict[str, str]) -> list[str]:
    steps = tuple(ShellStep(commands=script, **fields) for script in scripts)  # type: ignore[arg-type]
    return [finding.code for finding in lint(Spec(steps=steps))]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # -y
        (UPDATE + "apt-get install curl", ["apt-without-yes"]),
        (UPDATE + "apt-get -q install curl", ["apt-without-yes"]),
        (UPDATE + "/usr/bin/apt-get install --no-install-recommends curl", ["apt-without-yes"]),
        (UPDATE + "apt install curl", ["apt-without-yes"]),
        (UPDATE + "apt-get upgrade", ["apt-without-yes"]),
        ("apt-get remove vim && apt-get autoremove", ["apt-without-yes"]),
        (UPDATE + "if true; then apt-get install a; fi", ["apt-without-yes"]),
        (UPDATE + 'f() { apt-get install "$1"; }\nf curl', []),
        (UPDATE + "for p in a b; do apt-get install foo; done", ["apt-without-yes"]),
        (UPDATE + "(timeout 60 nice -n 5 apt-get install a) | cat", ["apt-without-yes"]),
        (UPDATE + "x=$(apt-get install a 2>&1)", ["apt-without-yes"]),
        (UPDATE + "bash -c 'apt-get install a'", ["apt-without-yes"]),
        (UPDATE + 'bash -euxc "apt-get install $X a && ap"', []),
        (UPDATE + "sh <<'EOF'\napt-get install a\nEOF", ["apt-without-yes"]),
        (UPDATE + "eval apt-get install a", ["apt-without-yes"]),
        (UPDATE + "echo a | xargs -n 1 apt-get install", ["apt-without-yes"]),
        (UPDATE + "apt-get install -y curl", []),
        (UPDATE + "apt-get -yq install curl", []),
        (UPDATE + "apt-get -qqy install curl", []),
        (UPDATE + "apt-get -qq install curl", []),
        (UPDATE + "apt-get install curl --assume-yes", []),
        (UPDATE + "apt-get -o APT::Get::Assume-Yes=true install curl", []),
        (UPDATE + "apt-get $OPTIONS install curl", []),
        (UPDATE + 'apt-get -"y" inst""all curl', []),
        (UPDATE + "apt-get -t bookworm-backports install -y curl", []),
        (UPDATE + "apt-get install \\\n  -y \\\n  curl", []),
        ("apt-get clean; apt-cache policy; apt-mark hold curl; apt-get download x", []),
        # update
        ("apt-get install -y curl", ["apt-without-update"]),
        ("apt-get -o Acquire::Retries=3 install -y curl", ["apt-without-update"]),
        ("apt-get install -y curl && apt-get update", ["apt-without-update"]),
        ("apt-get update && apt-get install -y curl", []),
        ("apt-get -qq update || exit 1; apt-get install -y curl", []),
        ("apt-get install -y ./local.deb", []),
        # what is no command
        ("# sudo apt-get install curl", []),
        ("echo 'sudo apt-get install curl'", []),
        ("cat >/README <<EOF\nsudo apt-get install curl\nEOF", []),
        ("cat <<-'EOF'\n\tpip install x\n\tEOF", []),
        ("printf '%s\\n' \"run sudo apt-get install\"", []),
        ("grep sudo /etc/group; id sudo; usermod -aG sudo agent", []),
        # the frontend
        (UPDATE + "DEBIAN_FRONTEND=noninteractive apt-get install -y a", []),
        (UPDATE + "export DEBIAN_FRONTEND=noninteractive; apt-get install -y a", []),
        (UPDATE + "DEBIAN_FRONTEND=dialog apt-get install -y a", ["frontend-lost"]),
        (UPDATE + "export DEBIAN_FRONTEND=readline\napt-get install -y a", ["frontend-lost"]),
        (UPDATE + "unset DEBIAN_FRONTEND\napt-get install -y a", ["frontend-lost"]),
        (UPDATE + "env -i PATH=/bin apt-get install -y a", ["frontend-lost"]),
        (UPDATE + "env DEBIAN_FRONTEND=noninteractive apt-get install -y a", []),
        (UPDATE + "su - -c 'apt-get install -y a'", ["frontend-lost"]),
        # sudo
        (UPDATE + "sudo apt-get install -y a", ["sudo", "frontend-lost"]),
        (UPDATE + "sudo -E apt-get install -y a", ["sudo"]),
        (UPDATE + "sudo DEBIAN_FRONTEND=noninteractive apt-get install -y a", ["sudo"]),
        ("sudo -u postgres createdb x", ["sudo"]),
        ("true && { sudo true; }", ["sudo"]),
        # the lock
        (UPDATE + "apt-get -o DPkg::Lock::Timeout=60 install -y a", ["lock-timeout"]),
        ("echo 'DPkg::Lock::Timeout \"60\";' >/etc/apt/apt.conf.d/99lock", ["lock-timeout"]),
        ("cat >/etc/apt/apt.conf.d/99 <<EOF\nDpkg::Lock::Timeout 60;\nEOF", ["lock-timeout"]),
        # cloud-init
        ("cloud-init status --wait", ["cloud-init-wait"]),
        (
            "while [ ! -f /var/lib/cloud/instance/boot-finished ]; do sleep 1; done",
            ["cloud-init-wait"],
        ),
        (
            "until test -e /var/lib/cloud/instance/boot-finished; do sleep 1; done",
            ["cloud-init-wait"],
        ),
        ("cloud-init --version; mkdir -p /var/lib/cloud/seed", []),
        # services that upgrade
        ("systemctl stop unattended-upgrades.service", ["unattended-upgrades"]),
        (
            "systemctl disable --now apt-daily.timer apt-daily-upgrade.timer",
            ["unattended-upgrades"],
        ),
        ("apt-get purge -y unattended-upgrades", ["unattended-upgrades"]),
        ("killall unattended-upgr || pkill -f unattended-upgrade", ["unattended-upgrades"]),
        ("echo unattended-upgrades", []),
        # the default Python
        (
            "update-alternatives --install /usr/bin/python3 python3 /usr/bin/python3.12 1",
            ["default-python"],
        ),
        ("update-alternatives --set python /usr/bin/python3.12", ["default-python"]),
        ("update-alternatives --list python; update-alternatives --set editor /bin/ed", []),
        ("ln -sf /usr/bin/python3.12 /usr/bin/python3", ["default-python"]),
        ("ln -s /opt/python/bin/python3 /usr/local/bin/python", ["default-python"]),
        ("cp /tmp/python /usr/bin/python3", ["default-python"]),
        ("ln -s /usr/bin/python3 /opt/venv/bin/python; ln -s a /usr/bin/python3-config", []),
        # pip
        ("pip install requests", ["unversioned-pip"]),
        ("pip3 install --no-cache-dir requests==2.32.3 numpy", ["unversioned-pip"]),
        ("python3 -m pip install --upgrade pip", ["unversioned-pip"]),
        ("/opt/venv/bin/pip install 'uvicorn[standard]'", ["unversioned-pip"]),
        ("uv pip install --system ruff", ["unversioned-pip"]),
        ("pip install requests==2.32.3 'numpy>=2,<3' 'a[b]~=1.0'", []),
        ("pip install -r requirements.txt -i https://index.example/simple", []),
        (
            "pip install . -e ./x ./dist/a.whl git+https://host.example/x 'a @ https://host.example/a'",
            [],
        ),
        ('pip install "$PACKAGE" -c constraints.txt', []),
        ("pip install requests -c constraints.txt", []),
        ("pip download requests; pip list; pip config set install.trusted-host x", []),
    ],
)
def test_a_script(script: str, expected: list[str]) -> None:
    assert codes(script) == expected


def test_lists_from_another_step_may_be_old() -> None:
    assert codes("apt-get update", "apt-get install -y a") == ["apt-update-in-another-step"]
    assert codes("apt-get update", "apt-get update; apt-get install -y a") == []


def test_each_step_starts_with_the_builders_variables() -> None:
    install = UPDATE + "apt-get install -y a"
    assert codes("unset DEBIAN_FRONTEND", install) == []
    assert codes(install, env={"DEBIAN_FRONTEND": "dialog"}) == ["frontend-lost"]


def test_a_finding_says_where_and_what_to_do() -> None:
    step = ShellStep(commands=("true", "apt-get update", "true\nsudo apt-get -y install a"))
    spec = Spec(steps=(FileStep(source="a", destination="/a"), step))
    sudo, lost = lint(spec)
    assert (sudo.code, sudo.step, sudo.line) == ("sudo", 2, 4)
    assert "root" in sudo.message
    assert str(sudo).startswith("step 2, line 4: sudo: ")
    assert str(sudo).endswith("set `user` of the step")
    assert (lost.code, lost.line) == ("frontend-lost", 4)


@pytest.mark.parametrize(
    "script",
    [
        "if",
        "echo 'open",
        "cat <<EOF",
        "$(",
        "))",
        "a=(1 2",
        "\\",
        "${x",
        "case a in",
    ],
)
def test_what_is_no_script_is_said_to_be_none(script: str) -> None:
    assert codes(script) == ["cannot-be-parsed"]


def test_a_script_that_is_half_right_is_still_read() -> None:
    assert codes("sudo true\nif then fi )\n") == ["cannot-be-parsed", "sudo"]
    assert codes("ü ß\n\t") == []


def test_a_command_that_cannot_be_parsed_hides_no_other_one() -> None:
    step = ShellStep(commands=("true", "true\necho 'open", "sudo true"))
    found = [(finding.code, finding.step, finding.line) for finding in lint(Spec(steps=(step,)))]
    assert found == [("cannot-be-parsed", 1, 3), ("sudo", 1, 4)]
    assert codes(("if true", "then sudo true; fi"), ("cat <<EOF", "text", "EOF")) == ["sudo"]


def test_scripts_within_scripts_come_to_an_end() -> None:
    script = "true"
    for _ in range(9):
        quoted = script.replace("\\", "\\\\").replace('"', '\\"')
        script = f'sh -c "{quoted}"'
    assert codes(script) == []
