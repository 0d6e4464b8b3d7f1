import os
import shutil

import pytest

from pacifica_fs.cli.codes import Exit
from pacifica_fs.cli.outside import MountPoint


@pytest.mark.parametrize(("state", "code"), [("done", 0), ("held", 3), ("failed", 4), ("unconfirmed", 5)])
def test_final_states_have_their_codes(run, mount, state, code):
    mount.bundle("here", "run-42", state, transaction="7")
    result = run("wait", "run-42")
    assert result.exit_code == code
    assert f"here/run-42  {state}" in result.stdout


def test_problems_are_told(run, mount):
    problem = {"what": "no such project", "remedy": "Ask for 1234a.", "path": "metadata.json"}
    mount.bundle("here", "run-42", "held", problems=[problem])
    assert run("wait", "run-42").stderr == "  metadata.json: no such project; Ask for 1234a.\n"


def test_a_path_is_not_told_twice(run, mount):
    mount.bundle("here", "run-42", "held", problems=[{"what": "metadata.json, line 1: wrong", "path": "metadata.json"}])
    assert run("wait", "run-42").stderr == "  metadata.json, line 1: wrong\n"


def test_each_step_is_shown_once_until_it_is_done(run, mount, outside):
    mount.bundle("here", "run-42", "open", waiting_for="more files")
    outside.clock.events = {
        3: lambda: mount.bundle("here", "run-42", "ingesting", task="ingest metadata", percent=50.0),
        6: lambda: mount.bundle("here", "run-42", "done", transaction="7"),
    }
    result = run("wait", "here/run-42")
    assert result.stdout.splitlines() == [
        "here/run-42  open  more files",
        "here/run-42  ingesting  ingest metadata 50%",
        "here/run-42  done  transaction 7",
    ]
    assert result.exit_code == 0


def test_quiet(run, mount):
    mount.bundle("here", "run-42", "failed", problems=[{"what": "bad"}])
    result = run("wait", "-q", "run-42")
    assert (result.exit_code, result.output) == (4, "")


def test_what_was_left_out_is_told(run, mount):
    mount.bundle("here", "run-42", "done", transaction="7", left_out=[{"path": "a", "why": "already in transaction 6"}])
    assert run("wait", "run-42").stderr == "  left out: a: already in transaction 6\n"


def test_time_out(run, mount, outside):
    mount.bundle("here", "run-42", "sending")
    begin = outside.clock.now()
    result = run("wait", "run-42", "--timeout", "2 min")
    assert (result.exit_code, result.stderr) == (124, "pacifica-fs: here/run-42 is still sending\n")
    assert 120 <= outside.clock.now() - begin < 121


def test_a_time_out_of_zero_looks_once(run, mount, outside):
    mount.bundle("here", "run-42", "sending")
    assert run("wait", "run-42", "-t", "0").exit_code == 124
    assert outside.clock.sleeps == 0


def test_what_an_outage_holds_is_waited_for(run, mount, outside):
    mount.bundle("here", "run-42", "held", outage=True, waiting_for="the archive")
    outside.clock.events = {5: lambda: mount.bundle("here", "run-42", "done")}
    assert run("wait", "run-42").exit_code == 0


@pytest.mark.parametrize(
    "name",
    [
        "run-42",
        "here/run-42",
        "id-run-42",
        "{drop}/here/run-42",
        "{drop}/here/run-42/a/b.dat",
        "{drop}/../status/uploads/here/run-42",
    ],
)
def test_names(run, mount, name):
    mount.bundle("here", "run-42", "done")
    mount.bundle("here", "run-4", "held")
    assert run("wait", name.format(drop=mount.path / "drop")).exit_code == 0


def test_a_relative_path(run, mount, monkeypatch):
    mount.bundle("here", "run-42", "done")
    monkeypatch.chdir(mount.path / "drop")
    assert run("wait", "here/run-42").exit_code == 0
    assert run("wait", "./here/run-42").exit_code == 0


def test_names_with_folders(run, mount):
    mount.bundle("here", "1234a/run", "done")
    mount.bundle("here", "1234a/run/deeper", "held")  # not to be seen: a bundle's own files are no bundles
    assert run("wait", mount.path / "drop/here/1234a/run/data.raw").exit_code == 0
    assert run("wait", "here/1234a/run").exit_code == 0


def test_a_name_in_two_archives(run, mount):
    mount.bundle("here", "run", "done")
    mount.bundle("emsl", "run", "held")
    result = run("wait", "run")
    assert (result.exit_code, "'run' may be emsl/run, here/run" in result.stderr) == (2, True)
    assert run("wait", "emsl/run").exit_code == Exit.HELD


def test_of_several_bundles_of_one_name_the_newest_is_meant(run, outside):
    common = {"archive": "here", "name": "run"}
    outside.journals = [
        {**common, "id": "2", "state": "failed", "created": "2027-01-02"},
        {**common, "id": "3", "state": "done", "created": "2027-01-03"},
        {**common, "id": "1", "state": "held", "created": "2027-01-01"},
    ]
    assert run("wait", "run").exit_code == 0
    assert run("wait", "/x/drop/here/run").exit_code == 0
    assert run("wait", "1").exit_code == 3


def test_unknown_names(run, mount):
    result = run("wait", "run")
    assert (result.exit_code, result.stderr) == (
        7,
        "pacifica-fs: there is no bundle 'run'; there are no bundles at all\n",
    )
    mount.bundle("here", "run-42", "done")
    result = run("wait", "run-43")
    assert (result.exit_code, "did you mean here/run-42?" in result.stderr) == (7, True)


def test_a_bundle_that_is_removed(run, mount, outside):
    mount.bundle("here", "run", "open")
    outside.clock.events = {2: lambda: shutil.rmtree(mount.path / "status/uploads/here/run")}
    result = run("wait", "run")
    assert (result.exit_code, "was removed" in result.stderr) == (7, True)


def test_a_follow_on_does_not_hide_the_bundle_that_was_asked_for(run, mount, outside):
    mount.bundle("here", "run", "sending", id="1")

    def follow():
        mount.bundle("here", "run", "held", id="2")
        mount.bundle("here", "run/.history/1", "done", id="1")

    outside.clock.events = {2: follow}
    assert run("wait", "run").exit_code == 0


def test_a_follow_on_counts_where_the_earlier_one_is_not_shown(run, mount, outside):
    mount.bundle("here", "run", "sending", id="1")
    outside.clock.events = {2: lambda: mount.bundle("here", "run", "done", id="2")}
    assert run("wait", "run").exit_code == 0


def test_several_mounts(run, mount, outside, tmp_path):
    outside.known.append(MountPoint(tmp_path / "other"))
    mount.bundle("here", "run", "done")
    result = run("wait", "run")
    assert (result.exit_code, "say which with -m DIR" in result.stderr) == (2, True)
    assert run("wait", "-m", mount.path, "run").exit_code == 0
    assert run("wait", mount.path / "drop/here/run").exit_code == 0, "a path says which mount"
    outside.environ["PWD"] = str(mount.path / "drop")
    assert run("wait", "run").exit_code == 0, "so does the current folder"


def test_without_a_mount_the_journals_answer(run, outside):
    outside.journals = [{"archive": "here", "name": "run", "id": "1", "state": "held", "problems": []}]
    result = run("wait", "run")
    assert result.exit_code == 3
    assert "nothing is mounted; this is what the journals in" in result.stderr


def test_without_a_mount_nothing_goes_on(run, outside):
    outside.journals = [{"archive": "here", "name": "run", "id": "1", "state": "sending"}]
    begin = outside.clock.now()
    result = run("wait", "run")
    assert (result.exit_code, "stays sending: no mount brings it further" in result.stderr) == (6, True)
    assert 30 <= outside.clock.now() - begin < 31


def test_a_service_that_restarts_is_waited_for(run, mount, outside):
    mount.bundle("here", "run", "sending")
    known, outside.known = outside.known, outside.known[:]

    def back():
        outside.known[:] = known
        mount.bundle("here", "run", "done")

    outside.clock.events = {2: outside.known.clear, 12: back}
    assert run("wait", "run").exit_code == 0


def test_a_mount_that_does_not_answer(run, mount, outside, monkeypatch):
    monkeypatch.setattr("pacifica_fs.cli.limited.call.__defaults__", (0.2, "the mount"))
    monkeypatch.setattr("pacifica_fs.cli.snapshot.look.__defaults__", (0.2,))
    os.mkfifo(mount.path / "status/uploads/dead")
    (mount.path / "status/downloads.json").unlink()
    os.mkfifo(mount.path / "status/downloads.json")
    outside.journals = [{"archive": "here", "name": "run", "id": "1", "state": "failed"}]
    result = run("wait", "run")
    assert result.exit_code == 4
    assert "did not answer within 0.2 s; this is what the journals" in result.stderr
