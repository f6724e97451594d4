"""How the property tests run: few examples each, no deadline on a busy machine, no files."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "tether",
    max_examples=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("tether")
