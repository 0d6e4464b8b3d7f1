"""The way to the real rooms, as far as it needs no kernel mount."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pacifica_fs import config
from pacifica_fs.cli.codes import Exit, Failed
from pacifica_fs.cli.rooms import Rooms, health
from pacifica_fs.errors import ConfigError
from pacifica_fs.model import Health


@pytest.fixture
def rooms(tmp_path):
    return Rooms({"HOME": str(tmp_path)})


@pytest.fixture
def local(tmp_path, rooms):
    tables = {"archives": {"here": {"kind": "local", "path": str(tmp_path / "archive"), "defaults": {"project": "p"}}}}
    settings = config.parse(tables)
    return settings, config.places(settings, rooms.environ)


def test_an_archive_is_asked(rooms, local):
    [archive] = rooms.probe(*local)
    assert (archive.level, archive.subject) == ("ok", "archive here")
    assert "takes uploads" in archive.text


def test_a_dry_run(rooms, local, tmp_path):
    sidecar = tmp_path / "metadata.json"
    sidecar.write_text('{"instrument": 54}')
    [found] = rooms.dry_run(*local, sidecar, "here")
    assert found.level == "ok"
    assert "project p" in found.text, "the defaults are filled in"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"instrument": 54', "not valid JSON"),
        ('{"projct": "x"}', "'projct' is not known here"),
        ('["data"]', "an ordinary file"),
    ],
)
def test_a_dry_run_with_problems(rooms, local, tmp_path, content, words):
    sidecar = tmp_path / "metadata.json"
    sidecar.write_text(content)
    [found] = rooms.dry_run(*local, sidecar, "here")
    assert (found.level, words in found.text) == ("wrong", True), found.text


def test_a_dry_run_for_an_archive_that_does_not_exist(rooms, local, tmp_path):
    (tmp_path / "m.json").write_text("{}")
    with pytest.raises(ConfigError, match="no such archive takes uploads; configured are: here"):
        rooms.dry_run(*local, tmp_path / "m.json", "nowhere")


def test_no_spool_no_uploads(rooms, tmp_path):
    assert rooms.uploads(tmp_path / "nothing") == []


def test_the_mounts_of_the_kernel(rooms):
    assert all(os.fspath(each.path).startswith("/") for each in rooms.mounts())


def test_a_daemon_that_fails_gives_its_words_and_its_code(rooms):
    program = "from pacifica_fs.cli.rooms import Rooms; Rooms({}).failed('no\\nroom', 2)"
    with pytest.raises(Failed, match="no\nroom") as error:
        rooms.start(["-c", program])
    assert error.value.code == Exit.USAGE


def test_a_daemon_that_dies_without_a_word(rooms):
    with pytest.raises(Failed, match="run it with -f to see why") as error:
        rooms.start(["-c", "pass"])
    assert error.value.code == Exit.FAILED


def test_a_daemon_that_lets_go_of_its_spool_is_waited_for(rooms, tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as daemon:
        (tmp_path / "lock").write_text(json.dumps({"pid": daemon.pid, "mount": "/m"}))
        assert rooms.settle(tmp_path, Path("/m"), 0.05) is False
        assert rooms.settle(tmp_path, Path("/other"), 5) is True, "another mount's daemon is none of our business"
        daemon.communicate(b"\n", timeout=20)
    assert rooms.settle(tmp_path, Path("/m"), 5) is True


def test_settle_without_a_lock(rooms, tmp_path):
    assert rooms.settle(tmp_path, tmp_path, 5) is True
    (tmp_path / "lock").write_text("not json")
    assert rooms.settle(tmp_path, tmp_path, 5) is True


def test_health_in_words():
    [good] = health("emsl", "pacifica", Health(True, "dmlb2001", 0.0123, "", {"policy": "ok"}), False)
    assert good.text == "pacifica, reached as dmlb2001, answers in 12 ms, takes no uploads"
    first, second = health("emsl", "pacifica", Health(False, error="no route", services={"cart": "503"}), True)
    assert (first.level, first.text) == ("wrong", "pacifica, out of reach: no route")
    assert (second.subject, second.text) == ("archive emsl: cart", "503")
