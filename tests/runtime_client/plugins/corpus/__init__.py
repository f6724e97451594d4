"""Plugins that go wrong, each in a way of its own. Their processes import them; no test does."""
