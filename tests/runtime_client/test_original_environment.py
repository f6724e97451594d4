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
