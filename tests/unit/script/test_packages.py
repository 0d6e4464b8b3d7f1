"""`script/packages` leaves alone what is there and says what is missing."""

import os
import subprocess
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[3] / "script" / "packages"


@pytest.fixture
def user(tmp_path):
    """Runs it as somebody who is not root, with some programs more."""

    def run(*packages, programs=()):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, text in {"id": "echo 1000", **dict.fromkeys(programs, "true")}.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        return subprocess.run([PACKAGES, *packages], env=environment, capture_output=True, text=True, check=False)

    return run


def test_a_missing_package_is_named_with_the_remedy(user):
    done = user("no-such-package", "sh", "nor-this-one")
    assert done.returncode == 3
    assert "apt-get install --no-install-recommends no-such-package nor-this-one" in done.stderr


def test_a_program_counts_however_it_was_installed(user):
    assert (
        user("redis-server", "postgresql", "fuse3", programs=["redis-server", "initdb", "fusermount3"]).returncode == 0
    )
