"""A service that takes connections and never answers."""

import socket
import time

import pytest

from pacifica_fs.archive import Waiting


@pytest.fixture
def silent():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("service", ["cart", "archive_interface"])
def test_the_caller_never_waits_longer_than_two_seconds(site, silent, ref, service):
    archive = site(policy="http://policy.example", **{service: silent}, timeouts={"read": 30}).archive
    arrivals = archive.open([ref()])
    for _ in range(2):
        begun = time.monotonic()
        assert isinstance(next(arrivals), Waiting)
        assert time.monotonic() - begun < 15  # two, and what a busy machine adds; far from what the server may take
    begun = time.monotonic()
    arrivals.close()
    assert time.monotonic() - begun < 15
