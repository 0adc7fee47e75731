"""Fixtures for every test: databases of both kinds, and a whole installation on them."""

from hypothesis import settings

pytest_plugins = ["tests.postgres", "tests.databases", "tests.installation"]

# No deadline: a busy machine is no fault of the code. Tests that need more examples say so themselves.
settings.register_profile("suite", deadline=None, max_examples=50)
settings.load_profile("suite")
