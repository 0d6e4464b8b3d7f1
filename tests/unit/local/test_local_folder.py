"""Which folders are archives, which become one, and which are refused in words."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pacifica_fs.errors import BadAnswer, ConfigError, Unreachable


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_a_new_folder_becomes_an_archive_that_explains_itself(site):
    site.open()
    assert names(site.root) == ["README.txt", "bundles", "format", "incoming", "sequence", "transactions"]
    assert "transaction.json" in (site.root / "README.txt").read_text()


def test_the_default_is_in_the_programs_state(site):
    site.open(path="")
    assert (site.folder / "state/local/here/format").exists()


def test_home_is_expanded(site):
    site.open(path="~/mine")
    assert (site.folder / "mine/format").exists()


def test_a_second_start_finds_what_is_there(site):
    site.send(site.open(), site.bundle({"a": b"1"}))
    assert [entry.id for entry in site.open().archive.containers({}, 10).entries] == ["1"]


def test_a_fresh_disk_may_have_its_lost_and_found(site):
    (site.root / "lost+found").mkdir(parents=True)
    assert site.open().archive.probe().reachable


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: root.write_text("x"), "is not a folder"),
        (lambda root: (root.mkdir(), (root / "thesis.tex").write_text("x")), "has 'thesis.tex'"),
        (lambda root: (root.mkdir(), (root / "format").write_text("local archive, version 9\n")), "version 9"),
        (lambda root: (root / "transactions/7").mkdir(parents=True), "'format' is missing"),
        (lambda root: root.symlink_to("/proc/self/environ"), "is not a folder"),
        (lambda root: root.symlink_to(root), "cannot be used"),
    ],
)
def test_a_folder_that_cannot_be_one(site, make, words):
    make(site.root)
    with pytest.raises(ConfigError, match=r"^a\.toml: archives\.here\.path: ") as caught:
        site.open()
    assert words in str(caught.value) and str(site.root) in str(caught.value)


def test_nothing_is_made_in_a_folder_that_is_refused(site):
    site.root.mkdir()
    (site.root / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError):
        site.open()
    assert names(site.root) == ["thesis.tex"]


def test_a_folder_below_nothing(site):
    with pytest.raises(ConfigError, match="no/such does not exist"):
        site.open(path=str(site.folder / "no/such/folder"))
    with pytest.raises(ConfigError, match="/proc"):
        site.open(path="/proc/archive")


def test_other_wrong_settings(site):
    with pytest.raises(ConfigError, match="hash: this machine knows no 'crc7'"):
        site.open(hash="crc7")
    with pytest.raises(ConfigError, match="path"):
        site.open(path=7)


def test_no_permission(site):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = type(site)(folder)
        (folder / "closed").mkdir()
        (folder / "closed").chmod(0o555)
        folder.chmod(0o777)
        for path in ("closed", "closed/below"):
            said = as_nobody(lambda path=path: site.open(path=str(folder / path)))
            assert said.startswith("a.toml: archives.here.path: no permission for "), said


def as_nobody(call):
    """What ConfigError `call` raises in a process that is not root's."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing was wrong"
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            call()
        except ConfigError as error:
            said = str(error)
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with open(reader) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def test_a_disk_that_is_not_mounted_is_an_outage_and_not_a_new_archive(site):
    built = site.open()
    site.send(built, site.bundle({"a": b"1"}))
    away = site.root.rename(site.folder / "away")
    for make in (lambda: None, site.root.mkdir):
        make()
        again = site.open()
        for archive in (built.archive, again.archive):
            with pytest.raises(Unreachable, match="is its disk mounted"):
                archive.containers({}, 10)
            with pytest.raises(Unreachable):
                archive.container("1")
            assert not archive.probe().reachable
        with pytest.raises(Unreachable):
            site.send(again, site.bundle({"b": b"2"}))
    assert names(site.root) == []
    site.root.rmdir()
    away.rename(site.root)
    assert again.archive.container("1").id == "1"
    assert site.send(again, site.bundle({"b": b"2"})) == "2"


def test_another_version_at_run_time_is_said(site):
    built = site.open()
    (site.root / "format").unlink()
    (site.root / "format").write_text("pacifica-fs local archive, version 2\n")
    with pytest.raises(BadAnswer, match="version 2"):
        built.archive.containers({}, 10)
    assert not built.archive.probe().reachable


def test_a_folder_without_permission_at_run_time(site):
    built = site.open()
    (site.root / "format").unlink()
    (site.root / "format").mkdir()
    with pytest.raises(Unreachable, match="cannot be read"):
        built.archive.container("1")


def test_two_programs_make_one_archive(site):
    program = (
        "import sys; from pathlib import Path; from pacifica_fs.archives.local import build;"
        "from pacifica_fs.archive import Effects; from pacifica_fs.clock import SystemClock;"
        "from pacifica_fs.config import ArchiveSettings; p = Path(sys.argv[1]);"
        "build(ArchiveSettings('here', 'local', options={'path': str(p / 'archive')}, source='t'),"
        "Effects(SystemClock(), p / 'state', p / 'cache'))"
    )
    runs = [subprocess.Popen([sys.executable, "-c", program, str(site.folder)]) for _ in range(4)]
    assert [run.wait(60) for run in runs] == [0, 0, 0, 0]
    assert names(site.root) == ["README.txt", "bundles", "format", "incoming", "sequence", "transactions"]
