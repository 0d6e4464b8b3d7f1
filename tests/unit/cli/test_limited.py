import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pacifica_fs.cli import limited
from pacifica_fs.errors import WaitTimeout


def test_the_result_comes_back():
    assert limited.call(lambda: {"a": [1, b"x" * 3_000_000]}) == {"a": [1, b"x" * 3_000_000]}


def test_an_error_comes_back(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        limited.call((tmp_path / "nothing").read_bytes)
    assert error.value.errno == errno.ENOENT
    assert "nothing" in str(error.value)


def test_a_read_that_never_answers_is_given_up(tmp_path):
    os.mkfifo(tmp_path / "dead")
    begin = time.monotonic()
    with pytest.raises(WaitTimeout, match=r"the mount at /x did not answer within 0\.2 s"):
        limited.call((tmp_path / "dead").read_bytes, 0.2, "the mount at /x")
    assert time.monotonic() - begin < 5


def test_a_child_that_dies_is_an_error():
    with pytest.raises(OSError, match="died"):
        limited.call(lambda: os._exit(3))


def children() -> set[str]:
    """This process's children by number; other tests may have left some that are theirs."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_no_child_is_left_behind(tmp_path):
    before = children()
    os.mkfifo(tmp_path / "dead")
    with pytest.raises(WaitTimeout):
        limited.call((tmp_path / "dead").read_bytes, 0.05)
    limited.call(lambda: 1)
    assert children() <= before


def test_a_stuck_child_holds_no_output_open(tmp_path):
    """`pacifica-fs status | less` must end although a child sits in a dead mount for ever."""
    os.mkfifo(tmp_path / "dead")
    program = (
        "import signal, sys; from pathlib import Path; from pacifica_fs.cli import limited\n"
        "limited._abandon = lambda child: print(child)\n"
        "try: limited.call(Path(sys.argv[1]).read_bytes, 0.1)\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "dead")], capture_output=True, text=True, timeout=20
    )
    child, name = done.stdout.split()
    assert name == "WaitTimeout"
    os.kill(int(child), 9)  # it is still there, and yet the pipe above was closed
