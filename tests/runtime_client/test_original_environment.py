from __future__ import annotations

from tether_runtime_client.original_environment import original_environment


def test_hidden_variables_have_their_names_again() -> None:
    hidden = {"TETHER_ENV_LD_PRELOAD": "/x.so", "PATH": "/bin", "X_TETHER_ENV_Y": "z"}
    assert original_environment(hidden) == {
        "LD_PRELOAD": "/x.so",
        "PATH": "/bin",
        "X_TETHER_ENV_Y": "z",
    }
    assert "TETHER_ENV_LD_PRELOAD" in hidden


def test_what_the_launcher_sets_for_itself_is_gone() -> None:
    own = {"TETHER_ENV_": "LC_ALL", "LC_ALL": "C.UTF-8", "LC_CTYPE": "C"}
    assert original_environment(own) == {"LC_CTYPE": "C"}
    assert original_environment({**own, "TETHER_ENV_LC_ALL": "de_DE"})["LC_ALL"] == "de_DE"
