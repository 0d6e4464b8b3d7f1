"""docs/quick-start.md and the README: their commands, run as a new user would, in one shell from top to bottom."""

import os
import re
import subprocess
import sys

import pytest

from tests.unit.documents import ROOT, document, section

pytestmark = [pytest.mark.mount, pytest.mark.timeout(150)]

# Other mounts of this user may be there, so it is said which one is meant; what `check` finds is this machine's affair.
PROGRAM = """#!/bin/sh
case $1 in
wait|status|safe-to-delete) set -- "$@" -m "$HOME/archives" ;;
umount) [ $# = 1 ] && set -- umount "$HOME/archives" ;;
check) [ $# = 1 ] && { "%(python)s" -m pacifica_fs check; [ $? -le 1 ]; exit; } ;;
esac
exec "%(python)s" -m pacifica_fs "$@"
"""


@pytest.fixture
def shell(tmp_path):
    """Runs lines in a shell of a new user; what is mounted then goes away."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pacifica-fs").write_text(PROGRAM % {"python": sys.executable})
    (tmp_path / "bin/pacifica-fs").chmod(0o755)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("XDG_") and "DIRECTORY" not in key}
    environ |= {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def run(text, **more):
        command = ["bash", "-ec", text]
        return subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path, **more)

    yield run
    subprocess.run(
        [sys.executable, "-m", "pacifica_fs", "umount", "--lazy", tmp_path / "archives"],
        capture_output=True,
        env=environ,
        cwd=tmp_path,
        timeout=60,
    )


def test_the_quick_start(shell, tmp_path):
    text = document("quick-start")
    installing = section(text, "## Install")
    blocks = re.findall(r"^```sh\n(.*?)^```", text.replace(installing, ""), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 9
    done = shell("set -x\n" + "\n".join(blocks), timeout=120)
    assert done.returncode == 0, done.stderr
    assert "1 2 3\n" in done.stdout
    assert "projct" in done.stdout  # PROBLEMS.txt names it
    assert not (tmp_path / "run-42").exists()
    assert (tmp_path / "copy/data.txt").read_text() == "1 2 3\n"
    assert re.search(r"run-43 .*done", done.stdout)
    assert not os.path.ismount(tmp_path / "archives")


def test_the_use_of_the_readme(shell, tmp_path):
    use = section((ROOT / "README.md").read_text(), "## Use")
    block = re.search(r"((?:^    .*\n|^\n)+)", use[use.index("    mkdir") :], re.MULTILINE)
    (tmp_path / "run-42").mkdir()
    (tmp_path / "run-42/data").write_text("x")
    (tmp_path / "run-42/metadata.json").write_text('{"project": "1234a", "instrument": 54}')
    done = shell("set -x\n" + block[1], timeout=100)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy/data").read_text() == "x"
    assert not os.path.ismount(tmp_path / "archives")
