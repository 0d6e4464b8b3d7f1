"""What all tests share: the servers' and the mounts' fixtures, and hints about leaks."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.leaks import Leaks

pytest_plugins = ["tests.servers.fixtures", "tests.mount.fixtures"]
# How long an example takes says how busy the machine is, and not whether it is right.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """Watch for what tests leave behind."""
    config.pluginmanager.register(Leaks(), "leaks")
