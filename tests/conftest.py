"""What all tests share: the servers' and the mounts' fixtures."""

pytest_plugins = ["tests.servers.fixtures"]
