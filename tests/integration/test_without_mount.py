"""The same tree without FUSE: `ls`, `cat`, `cp`, `demo`; and the report of a bug."""

import os
import subprocess
import sys
import tarfile

import pytest

from tests.mount.harness import own_folders

pytestmark = pytest.mark.timeout(120)
CONFIG = """[archives.here]
kind = "local"
path = "{0}/archive"
[drop]
path = "{0}/state"
min_free = 0
[cache]
path = "{0}/cache"
"""
TARDIS = """[archives.x]
kind = "mytardis"
url = "http://127.0.0.1:9"
username = "me"
api_key = "hunter2"
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "site.toml").write_text(CONFIG.format(tmp_path))
    # Whoever imports the FUSE library here fails: it is not needed.
    (tmp_path / "no").mkdir()
    (tmp_path / "no/mfusepy.py").write_text("raise OSError('no FUSE on this machine')\n")
    environ = {**own_folders(tmp_path), "PYTHONPATH": str(tmp_path / "no")}

    def run(*words):
        command = [sys.executable, "-m", "pacifica_fs", *map(str, words)]
        return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, timeout=60, check=False)

    return run


def test_there_and_back(program, tmp_path):
    run = tmp_path / "run-42"
    (run / "sub").mkdir(parents=True)
    (run / "a.raw").write_bytes(os.urandom(3 << 20))
    (run / "sub/b.txt").write_text("b")
    os.utime(run / "a.raw", (1_700_000_000, 1_700_000_000))
    done = program("cp", "-c", "site.toml", "-r", run, "drop/here/run-42")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[-1] == b"here/run-42  done  transaction 1"
    assert b"1/" in program("ls", "-c", "site.toml", "here/transactions").stdout
    assert program("ls", "-c", "site.toml", "here/transactions/1").stdout.split() == [b"a.raw", b"sub/"]
    assert program("cat", "-c", "site.toml", "here/transactions/1/a.raw").stdout == (run / "a.raw").read_bytes()
    assert b'"id"' in program("cat", "-c", "site.toml", "here/transactions/1.json").stdout
    done = program("cp", "-c", "site.toml", "here/transactions/1", "back")
    assert (done.returncode, b"copy it with -r" in done.stderr) == (2, True)
    done = program("cp", "-c", "site.toml", "-r", "here/transactions/1", "back")
    assert (done.returncode, done.stdout) == (0, b"2 files, 3.0 MiB\n")
    assert (tmp_path / "back/a.raw").read_bytes() == (run / "a.raw").read_bytes()
    assert int((tmp_path / "back/a.raw").stat().st_mtime) == 1_700_000_000
    (tmp_path / "into").mkdir()
    for _ in range(2):  # what is there is not copied again
        done = program("cp", "-c", "site.toml", "-r", "here/transactions/1", "into")
    assert done.stdout == b"0 files, 0 B\n"
    assert (tmp_path / "into/1/sub/b.txt").read_text() == "b"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("ls", "here/transactions/9"), 1, b"there is no"),
        (("cat", "here/transactions"), 1, b"here/transactions"),
        (("cp", "site.toml", "drop/here/x"), 2, b"cp -r FOLDER drop/ARCHIVE/NAME"),
        (("ls", "nope"), 1, b"nope"),
    ],
)
def test_what_goes_wrong_is_one_sentence(program, words, code, said):
    done = program(words[0], "-c", "site.toml", *words[1:])
    assert (done.returncode, said in done.stderr, len(done.stderr.splitlines())) == (code, True, 1), done.stderr


def test_a_bundle_that_is_held(program, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/metadata.json").write_text('{"keys": 7}')
    (tmp_path / "run/a").write_text("a")
    done = program("cp", "-c", "site.toml", "-r", "run", "drop/here/run")
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1] == b"here/run  held"
    assert done.stderr


def test_the_demonstration_without_fuse(program, tmp_path):
    done = program("demo", "--without-fuse", tmp_path / "new")
    assert (done.returncode, done.stderr) == (0, b""), done.stdout[-2000:]
    assert b"All of it worked" in done.stdout


def test_a_report(program, tmp_path):
    (tmp_path / "site.toml").write_text(CONFIG.format(tmp_path) + TARDIS)
    done = program("report", "-c", "site.toml", "-o", "report.tar.gz")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.tar.gz").stat().st_mode & 0o077 == 0
    with tarfile.open(tmp_path / "report.tar.gz") as archive:
        texts = {member.name.partition("/")[2]: archive.extractfile(member).read().decode() for member in archive}
    assert {"versions.txt", "mounts.txt", "config.toml", "states.json", "check.txt"} <= set(texts)
    assert "pacifica-fs " in texts["versions.txt"]
    assert 'api_key = "***"' in texts["config.toml"]
    assert not any("hunter2" in text for text in texts.values())
