import errno
import json
import os
import re

import pytest

from pacifica_fs.cli import limited, output, snapshot
from pacifica_fs.cli.outside import MountPoint
from pacifica_fs.cli.pace import Pace
from pacifica_fs.errors import BadAnswer


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("pacifica_fs.cli.snapshot.look.__defaults__", (0.2,))


def test_everything_is_shown(run, mount, outside):
    mount.bundle("here", "run-42", "ingesting", task="ingest", percent=25.0, files=3, bytes=5 << 20, sent=1 << 20)
    mount.bundle("here", "run-43", "held", problems=[{"what": "no project", "remedy": "Add one."}])
    mount.write("archives/here.json", {"name": "here", "kind": "local", "reachable": False, "error": "gone"})
    mount.write(
        "downloads.json",
        [
            {
                "archive": "emsl",
                "container": "67",
                "path": "a.raw",
                "state": "waiting",
                "bytes": 0,
                "size": 1024,
                "since": outside.clock.now() - 90,
                "waiting_for": "staging",
            }
        ],
    )
    result = run("status")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert f"mounted on {mount.path}" in lines
    assert "here/run-42 ingesting 3 5.0 MiB 1.0 MiB 0 s ingest 25%" in lines
    assert "here/run-43: no project; Add one." in lines
    assert "emsl/67/a.raw waiting 0 B 1.0 KiB 90 s staging" in lines
    assert "here local wrong gone" in lines
    assert "cache: 0 B of 1.0 GiB in 0 files, 0 hits, 0 misses" in lines
    assert "\x1b" not in result.stdout


def test_nothing_under_way(run, mount):
    assert "uploads: none\ndownloads: none\narchives: none\n" in run("status").stdout


def test_json_has_everything(run, mount):
    mount.bundle("here", "run", "done", transaction="7", extra={"kept": [1]})
    found = json.loads(run("status", "--json").stdout)
    assert found["mount"] == str(mount.path)
    assert found["uploads"][0]["transaction"] == "7"
    assert found["uploads"][0]["extra"] == {"kept": [1]}
    assert set(found) == {"uploads", "downloads", "cache", "archives", "mount", "remark"}


def test_old_done_bundles_are_counted(run, mount):
    for number in range(8):
        mount.bundle("here", f"run-{number}", "done", updated=f"2027-01-0{number + 1}T00:00:00Z")
    short = run("status").stdout
    assert "and 3 done; pacifica-fs status --all shows them" in short
    assert "run-7" in short
    assert "run-1" not in short
    assert "run-1" in run("status", "--all").stdout


def test_control_characters_do_not_reach_the_terminal(run, mount):
    mount.bundle("here", "evil", "held", problems=[{"what": "x\x1b[2J\ny"}])
    shown = run("status").stdout
    assert "\x1b" not in shown
    assert "x\\x1b[2J\\ny" in shown


def test_long_names_are_not_cut(run, mount):
    mount.bundle("here", "n" * 200, "open")
    assert "n" * 200 in run("status").stdout


def test_without_a_mount_the_journals_answer(run, outside, tmp_path):
    outside.journals = [{"archive": "here", "name": "run", "id": "1", "state": "sending", "bytes": 10, "files": 1}]
    file = tmp_path / "c.toml"
    file.write_text(f'[drop]\npath = "{tmp_path}/state"\n')
    result = run("status", "-c", file)
    assert result.exit_code == 0
    assert "here/run  sending" in " ".join(result.stdout.split("    "))
    assert f"nothing is mounted; this is what the journals in {tmp_path}/state/spool say" in result.stderr
    assert outside.asked == [("uploads", tmp_path / "state" / "spool")]


def test_journals_that_cannot_be_read(run, outside, monkeypatch):
    def broken(spool):
        raise BadAnswer("made by a newer version")

    monkeypatch.setattr(outside, "uploads", broken)
    result = run("status")
    assert (result.exit_code, "cannot be read: made by a newer version" in result.stderr) == (0, True)


def test_a_mount_that_never_answers_is_not_waited_for(run, mount, outside, impatient):
    os.unlink(mount.path / "status/cache.json")
    os.mkfifo(mount.path / "status/cache.json")
    outside.journals = [{"archive": "here", "name": "run", "id": "1", "state": "open"}]
    result = run("status")
    assert result.exit_code == 6
    assert "did not answer within 0.2 s" in result.stderr
    assert "here/run" in result.stdout


def test_a_dead_mount_is_named_so(run, mount, outside, monkeypatch):
    def dead(*_):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(limited, "call", dead)
    result = run("status")
    assert (result.exit_code, f"the mount at {mount.path} is dead: its daemon is gone" in result.stderr) == (6, True)


def test_the_configuration_of_a_dead_mount_says_where_the_spool_is(run, outside, tmp_path):
    file = tmp_path / "c.toml"
    file.write_text(f'[drop]\npath = "{tmp_path}/elsewhere"\n')
    outside.known.append(MountPoint(tmp_path / "empty", str(file)))
    assert run("status").exit_code == 6
    assert outside.asked == [("uploads", tmp_path / "elsewhere" / "spool")]


def test_an_empty_folder_is_not_taken_for_no_uploads(outside, tmp_path):
    with pytest.raises(FileNotFoundError):
        snapshot.from_mount(MountPoint(tmp_path))


def test_watch_prints_at_each_change(run, mount, outside):
    mount.bundle("here", "run", "open")

    def stop():
        raise KeyboardInterrupt

    outside.clock.events = {2: lambda: mount.bundle("here", "run", "sending"), 5: stop}
    result = run("status", "--watch")
    assert result.exit_code == 130
    assert result.stdout.count("uploads:") == 2
    assert "Aborted" not in result.output


def test_watch_tells_rates_and_the_time_left(run, mount, outside):
    mib = 1 << 20
    common = {"archive": "emsl", "container": "67", "path": "a.raw", "state": "receiving", "size": 100 * mib}

    def at(sent, received):
        mount.bundle("here", "run", "sending", bytes=100 * mib, sent=sent)
        mount.write("downloads.json", [{**common, "bytes": received}])

    def stop():
        raise KeyboardInterrupt

    at(0, 0)
    outside.clock.events = {2: lambda: at(10 * mib, 0), 4: lambda: at(20 * mib, 50 * mib), 7: stop}
    shown = run("status", "--watch").stdout
    assert re.search(r"here/run +sending .*MiB/s, \d+ s left", shown)
    assert re.search(r"emsl/67/a.raw +receiving .*MiB/s, \d+ s left", shown)
    assert "/s" not in run("status").stdout, "one look tells no rate"


def test_rates():
    pace = Pace()
    pace.note("a", 0, 0.0)
    assert pace.words("a", 1000) == "", "not known yet"
    pace.note("a", 1 << 20, 1.0)
    assert pace.words("a", 11 << 20) == "1.0 MiB/s, 10 s left"
    assert pace.words("a", 1 << 20) == "1.0 MiB/s"
    for second in range(2, 40):
        pace.note("a", 1 << 20, float(second))
    assert pace.words("a", 11 << 20) == "", "it has stopped"
    pace.note("a", 5, 41.0)
    assert pace.words("a", 10) == "", "begun anew"
    pace.keep(set())
    pace.note("a", 6, 42.0)
    assert pace.words("a", 10) == ""
    assert pace.words("never seen", 10) == ""


def test_a_mount_of_somebody_else_only_by_name(run, mount, outside):
    outside.known[:] = [MountPoint(mount.path, "x", mine=False)]
    assert "nothing is mounted" in run("status").stderr
    assert run("status", "-m", mount.path).stderr == ""
    assert run("status", "-m", mount.path / "drop").stderr == ""


def test_a_configuration_means_its_own_mounts_only(run, mount, outside, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text(f'[drop]\npath = "{tmp_path}/{name}"\n')
    outside.known[:] = [MountPoint(mount.path, f"{tmp_path}/a.toml"), MountPoint(tmp_path / "other", "pacifica-fs")]
    assert f"mounted on {mount.path}" in run("status", "-c", tmp_path / "a.toml").stdout
    result = run("status", "-c", tmp_path / "b.toml")
    assert (result.exit_code, "nothing is mounted" in result.stderr) == (0, True)
    assert outside.asked == [("uploads", tmp_path / "b" / "spool")]


def test_no_such_mount(run, mount, tmp_path):
    result = run("status", "-m", tmp_path)
    assert (result.exit_code, f"no pacifica-fs is mounted here: {mount.path}" in result.stderr) == (6, True)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (150 << 20, "150 MiB"), (5 << 40, "5.0 TiB")]
)
def test_sizes(count, text):
    assert output.size(count) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (1000, "0 s"),
        (400, "10 min"),
        ("1970-01-01T00:00:00Z", "17 min"),
        ("", ""),
        (None, ""),
        ("rubbish", ""),
        (-200_000, "2 d"),
    ],
)
def test_ago(moment, text):
    assert output.ago(moment, 1000.0) == text


class Screen:
    """A stream that says that it is a terminal."""

    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_colour_on_a_terminal_only_and_not_with_no_color(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen()
    output.Output(screen).table("uploads", ("bundle", "state"), [("here/[red]x", "done")])
    assert "\x1b[" in screen.text
    assert "here/[red]x" in screen.text
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    output.Output(screen).table("uploads", ("bundle", "state"), [("here/x", "done")])
    assert "\x1b[3" not in screen.text
    assert "here/x" in screen.text
