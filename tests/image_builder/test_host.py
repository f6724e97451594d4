from __future__ import annotations

import pytest

from tether_image_builder.host import apt_settings, apt_sources, host_files, pip_settings
from tether_image_builder.host import proxy_arguments as arguments

STANZAS = """\
Types: deb
# a comment: with a colon
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def test_pip_settings_keep_what_a_build_can_reach() -> None:
    listing = "\n".join(
        [
            "global.cert='/etc/own.crt'",
            "global.index-url='https://mirror.example/simple'",
            "install.extra-index-url='file:///srv/simple https://more.example/simple /srv/x'",
            "install.find-links='/srv/wheels'",
            ":env:.default-timeout='180'",
            ":env:.index-url='https://nearer.example/simple'",
        ]
    )
    assert pip_settings(listing, has_ca=True).splitlines() == [
        "[global]",
        "cert = /host/ca.crt",
        "extra-index-url = https://more.example/simple",
        "index-url = https://nearer.example/simple",
        "timeout = 180",
    ]


def test_no_pip_settings() -> None:
    assert pip_settings("", has_ca=False) == "[global]\n"
    assert pip_settings("global.index-url='file:///srv'", has_ca=False) == "[global]\n"


def test_apt_settings_keep_the_network_only() -> None:
    dump = "\n".join(
        [
            'Dir "/";',
            'Acquire::http::Proxy "http://proxy.example:3128";',
            'Acquire::http::Proxy::mirror.example "DIRECT";',
            'Acquire::https::CaInfo "/etc/own.crt";',
            'Acquire::http::Proxy "";',
            'Acquire::Retries "3";',
        ]
    )
    assert apt_settings(dump, has_ca=True).splitlines() == [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::http::Proxy::mirror.example "DIRECT";',
        'Acquire::Retries "3";',
        'Acquire::https::CaInfo "/host/ca.crt";',
    ]


@pytest.mark.parametrize(
    ("name", "text", "taken"),
    [
        ("debian.sources", STANZAS, True),
        ("debian.sources", STANZAS.replace("bookworm", "trixie"), False),
        ("debian.sources", STANZAS.replace("debian-archive-keyring", "own"), False),
        ("debian.sources", STANZAS.replace("http:", "file:"), False),
        ("sources.list", "deb http://mirror.example/debian bookworm main contrib\n", True),
        ("sources.list", "deb [arch=amd64] http://mirror.example/debian bookworm main\n", True),
        ("sources.list", "deb [signed-by=/own.gpg] http://mirror.example/ bookworm main\n", False),
        ("sources.list", "deb http://a.example bookworm main\ndeb http://b.example x y\n", False),
        ("sources.list", "# nothing\n", False),
    ],
)
def test_apt_sources_are_the_archive_of_the_suite(name: str, text: str, taken: bool) -> None:
    assert bool(apt_sources({name: text}, "bookworm")) == taken


def test_proxies_are_passed_in_both_spellings() -> None:
    environment = {"http_proxy": "http://a", "NO_PROXY": "b", "https_proxy": "", "PATH": "/bin"}
    assert arguments(environment) == {"http_proxy": "http://a", "NO_PROXY": "b"}


def test_this_machines_own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    files = host_files("bookworm")
    assert "host/ca.crt" not in files
    assert {"host/pip.conf", "host/apt.conf"} <= files.keys()
