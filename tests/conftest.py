"""What all tests share: the servers' and the mounts' fixtures, and hints about leaks."""

from __future__ import annotations

import pytest

from tests.leaks import Leaks

pytest_plugins = ["tests.servers.fixtures", "tests.mount.fixtures"]


def pytest_configure(config: pytest.Config) -> None:
    """Watch for what tests leave behind."""
    config.pluginmanager.register(Leaks(), "leaks")
