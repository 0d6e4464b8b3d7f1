import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pacifica_fs.cli import codes
from pacifica_fs.cli.main import COMMANDS

PROGRAM = [sys.executable, "-m", "pacifica_fs"]


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help(run, command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout or not command
    assert max(map(len, result.stdout.splitlines())) <= 110


def test_help_has_every_exit_code(run):
    shown = run("--help").stdout
    for code in codes.Exit:
        assert re.search(rf"^ +{code.value}  {re.escape(code.meaning)}$", shown, re.MULTILINE)


def test_the_documentation_has_every_exit_code():
    text = (Path(__file__).parents[3] / "docs" / "exit-codes.md").read_text()
    for code in codes.Exit:
        assert f"| {code.value} | {code.meaning} |" in text


def test_an_unknown_command(run):
    result = run("mont", "x")
    assert (result.exit_code, "there is no command 'mont'; there are mount, umount" in result.stderr) == (2, True)


def test_help_imports_none_of_the_rooms():
    code = (
        "import sys; sys.argv = ['pacifica-fs', '--help']\n"
        "from pacifica_fs.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "rooms = 'pacifica_fs.service', 'pacifica_fs.mount', 'requests', 'rich'\n"
        "heavy = [name for name in sys.modules if name.startswith(rooms)]\n"
        "print(heavy, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stderr == "[]\n"


def test_a_reader_that_goes_away_is_no_error():
    with subprocess.Popen([*PROGRAM, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        error = process.stderr.read()
    assert (process.returncode in (0, 1, codes.Exit.BROKEN_PIPE), error) == (True, b"")


def test_ctrl_c_is_quiet(tmp_path):
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    (tmp_path / "own.toml").touch()  # of others' mounts there may be several
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += f"import sys; sys.argv = ['pacifica-fs', 'status', '--watch', '-c', '{tmp_path}/own.toml']\n"
    program += "from pacifica_fs.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, text=True
    ) as process:
        process.stdout.readline()
        time.sleep(0)
        process.send_signal(2)
        _, error = process.communicate(timeout=20)
    assert process.returncode == codes.Exit.INTERRUPTED
    assert "Traceback" not in error
    assert "Aborted" not in error
