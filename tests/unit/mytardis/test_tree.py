"""The tree that a site is shown as: names, ids, clashes, documents."""

import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pacifica_fs.errors import Denied, NotFound
from pacifica_fs.tree.views import ArchiveTree, walk
from tests.unit.transport.conftest import FakeClock

from .conftest import names, paths

ONE = "Cryo EM: run 12%2Fα_1"
TWO = "Results & notes (final)_2"


def test_experiments_data_sets_and_files(tardis, archive, tree):
    root = tree(archive(tardis()))
    assert sorted(names(root)) == sorted(
        name + end
        for name in (ONE, "Open data_2", "Only described_5", "Cryo EM: run 12%2Fα_6")
        for end in ("", ".json")
    )
    assert set(names(root, ONE)) == {"Raw frames_1", "Raw frames_1.json", TWO, TWO + ".json"}
    assert set(paths(walk(root, ONE, TWO))) == {
        "Ergebnisse/größe/müller_日本.txt",
        'a"b;c%20d.txt',
        "run#1?x=1&y=2.dat",
        "empty.dat",
        "x/index_18",
        "x/index/inside.txt",
        "lead/slash/led.txt",
        "v/dup.txt",
        "v/dup (version 1).txt",
        "plain.txt",
        "gone.dat",
        "tape.dat",
        "custom.dat",
    }
    assert walk(root, ONE, TWO, "v", "dup.txt").ref.id == "22"
    assert walk(root, ONE, "Raw frames_1", "null-directory.txt").ref.id == "12"
    assert len(paths(walk(root, ONE, "Raw frames_1"))) == 13


def test_the_trailing_id_is_enough(tardis, archive, tree):
    root = tree(archive(tardis()))
    folder = walk(root, ONE, TWO)
    for experiment in ("1", "anything at all_1", "Cryo_EM%3A_run_12%2F%CE%B1_1"):
        for dataset in ("2", "renamed since_2", "Results_%26_notes_%28final%29_2"):
            assert walk(root, experiment, dataset).ino == folder.ino
            assert walk(root, experiment, dataset, "plain.txt").ref.id == "23"
    assert json.loads(walk(root, "1.json").render())["title"] == "Cryo EM: run 12/α"
    assert json.loads(walk(root, "1", "old name_2.json").render())["id"] == "2"


def test_what_cannot_be_a_name_asks_nobody(tardis, archive, tree):
    server = tardis()
    root = tree(archive(server))
    names(root)
    asked = len(server.log)
    for name in (".git", ".Trash", "autorun.inf", "_", "x_0", "x_", "_01"):
        with pytest.raises(NotFound):
            walk(root, name)
    assert len(server.log) == asked


def test_what_is_not_there_and_what_is_not_for_us(tardis, archive, tree):
    root = tree(archive(tardis()))
    for path in (["x_99"], [ONE, "x_99"], [ONE, "x_3"], [ONE, TWO, "missing"]):
        with pytest.raises((NotFound, Denied)) as caught:
            walk(root, *path)
        assert isinstance(caught.value, Denied) == (path[-1] == "x_3")
    with pytest.raises(Denied):
        walk(root, "x_3")
    with pytest.raises(NotFound):
        walk(root, "Open data_2", "Raw frames_1")


def test_a_data_set_in_two_experiments_is_one(tardis, archive, tree):
    server = tardis()
    root = tree(archive(server))
    first, second = walk(root, ONE, TWO, "plain.txt"), walk(root, "Open data_2", TWO, "plain.txt")
    assert first.ino == second.ino and first.ref == second.ref
    assert walk(root, ONE, TWO).ino == walk(root, "Open data_2", TWO).ino


def test_documents_have_parameters_with_names_and_units_and_authors(tardis, archive, tree):
    server = tardis()
    root = tree(archive(server))
    found = json.loads(walk(root, ONE + ".json").render())
    assert found["authors"] == [{"name": "Alice Liddell"}, {"name": "Bob Βήτα"}]
    assert found["public_access"] == "none" and found["description"] == "all of it"
    assert found["parameter_sets"] == [
        {
            "schema": {"name": "Beam", "namespace": "http://example.org/beam"},
            "parameters": [
                {"name": "voltage", "full_name": "Acceleration voltage", "units": "kV", "value": 300.0},
                {"name": "sample", "full_name": "Sample", "value": "ribosome µ"},
            ],
        }
    ]
    assert json.loads(walk(root, ONE, "Raw frames_1.json").render())["parameter_sets"] == found["parameter_sets"]
    names(root)
    names(root, ONE)
    assert server.count("/parametername/") == 1


def test_attributes(tardis, archive, tree):
    root = tree(archive(tardis()))
    file = walk(root, ONE, TWO, "Ergebnisse", "größe", "müller_日本.txt")
    shown = {name: value.decode() for name, value in file.xattrs().items()}
    assert shown["user.pacifica.id"] == "14"
    assert shown["user.pacifica.verified"] == "yes" and shown["user.pacifica.version"] == "1"
    assert len(shown["user.pacifica.md5"]) == 32 and len(shown["user.pacifica.sha512"]) == 128
    assert shown["user.pacifica.digest"] == "sha512:" + shown["user.pacifica.sha512"]
    plain = walk(root, ONE, TWO, "plain.txt")
    assert plain.xattrs()["user.mime_type"] == b"text/plain"
    assert str(plain.ref.digest).startswith("md5:")


@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "UTC"])
def test_times_are_those_of_the_servers_zone(tardis, archive, tree, zone):
    options = {"timezone": zone} if zone else {}
    root = tree(archive(tardis(), **options))
    expected = datetime(2024, 5, 6, 7, 8, 9, 123456, ZoneInfo(zone or "Australia/Melbourne"))
    for path in ([ONE, TWO, "plain.txt"], [ONE, TWO], [ONE]):
        assert walk(root, *path).attributes().mtime_ns // 1000 == round(expected.timestamp() * 1e6)
    if zone is None:
        assert expected.astimezone(ZoneInfo("UTC")).hour == 21


def test_unverified_files_are_listed_where_that_is_wanted(tardis, archive, tree):
    root = tree(archive(tardis(), unverified="list"))
    found = paths(walk(root, ONE, TWO))
    assert {"unverified.dat", "no-object.dat"} < set(found)
    assert found["unverified.dat"].xattrs()["user.pacifica.verified"] == b"no"


def test_names_as_in_the_sites_sftp_view(tardis, archive, tree):
    root = tree(archive(tardis(), names="sftp"))
    experiment, dataset = "Cryo_EM%3A_run_12%2F%CE%B1_1", "Results_%26_notes_%28final%29_2"
    assert {experiment, "Open_data_2"} < set(names(root))
    assert dataset in names(root, experiment)
    assert "with%20two%20%20spaces.txt" in names(root, experiment, "Raw_frames_1")
    assert walk(root, experiment, "Raw_frames_1", "frames", "grid 0", "frame_003.tif").ref.id == "5"
    assert "m%C3%BCller_%E6%97%A5%E6%9C%AC.txt" in names(root, experiment, dataset, "Ergebnisse", "größe")


def test_too_many_experiments_are_said(tardis, archive, tree):
    server = tardis()
    root = tree(archive(server, listing_limit=2))
    assert names(root) == ["README.txt"]
    assert "cd 12" in walk(root, "README.txt").render().decode()
    assert "plain.txt" in names(root, "1", "2")


@pytest.mark.parametrize("whole_dataset", [1000, 1])
def test_a_data_set_that_an_instrument_writes_to_grows(tardis, archive, whole_dataset):
    server, clock = tardis(), FakeClock()
    made = archive(server, whole_dataset=whole_dataset)
    root = ArchiveTree(made, 60.0, 10_000, clock).root()
    before = len(names(root, ONE, TWO))
    server.site.file(2, "", "new.dat", b"new")
    assert len(names(root, ONE, TWO)) == before
    clock.time += 61
    assert "new.dat" in names(root, ONE, TWO)
