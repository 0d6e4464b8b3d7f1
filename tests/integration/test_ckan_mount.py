"""A user's day with a CKAN site: packages as directories, tables dropped into the DataStore, through the kernel."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests.mount.harness import bounded
from tests.servers.ckan.seed import FRAME, READINGS

from .tools import run, until

pytestmark = [pytest.mark.ckan, pytest.mark.timeout(180)]
TABLE = "code,n\n00123,1\n0044,2\n"


@pytest.fixture
def mount(mounted, ckan_site):
    return mounted({"drop": {"quiet": "0.5s"}, "archives": {"opendata": ckan_site.archive_table()}})


def test_packages_are_directories(mount):
    assert "lab" in mount.ls("opendata") and "packages" in mount.ls("opendata")
    assert {"lab-data", "lab-data.json", "lab-private"} <= set(mount.ls("opendata/lab"))
    assert mount.ls("opendata/lab/lab-data") == [".datastore", "detector frame.bin", "readings.csv"]
    assert mount.read("opendata/lab/lab-data/readings.csv").decode() == READINGS
    assert mount.json("opendata/lab/lab-data.json")["package"]["name"] == "lab-data"
    with open(mount.path / "opendata/lab/lab-data/detector frame.bin", "rb") as stream:
        assert os.fstat(stream.fileno()).st_size == len(FRAME)
        assert os.pread(stream.fileno(), 100, 100_000) == FRAME[100_000:100_100]
    assert mount.read("opendata/packages/lab-private/samples.csv").startswith(b"code,mass")


def test_the_datastore_can_be_copied(mount, tmp_path):
    folder = mount.path / "opendata/lab/lab-data/.datastore"
    lines = mount.read("opendata/lab/lab-data/.datastore/readings.csv").decode().splitlines()
    assert lines[0] == "_id,time,sensor,value" and len(lines) == 201
    assert mount.json("opendata/lab/lab-data/.datastore/readings.schema.json")["meta"]["count"] == 200
    run("cp", "-r", folder, tmp_path / "copy")
    assert (tmp_path / "copy/readings.csv").read_text().splitlines() == lines


def test_a_dropped_table_is_in_the_datastore(mount, ckan_site, tmp_path):
    package = ckan_site.package()
    (tmp_path / "data.csv").write_text(TABLE)
    (tmp_path / "data.csv.metadata.json").write_text(
        json.dumps({"name": "Codes", "fields": [{"id": "n", "type": "int"}]})
    )
    folder = mount.path / "drop/opendata" / package
    os.mkdir(folder)
    run("cp", "-a", tmp_path / "data.csv", tmp_path / "data.csv.metadata.json", folder)
    mount.wait_state(package, "done", timeout=60)
    status = mount.status(package)
    shown = status["details"]["files"]["data.csv"]
    assert shown["datastore"] == {"rows_expected": 2, "rows_stored": 2, "fields": {"code": "text", "n": "int"}}
    assert shown["route"] == "direct"
    link = mount.path / "status/uploads/opendata" / package / "transaction"
    assert bounded("listing", lambda: sorted(os.listdir(link))) == [".datastore", "Codes"]
    assert (link / "Codes").read_text() == TABLE
    receipt = json.loads((mount.path / "status/uploads/opendata" / package / "receipt.json").read_text())
    assert [one["path"] for one in receipt["files"]] == ["data.csv"]
    everything = mount.read(f"status/uploads/opendata/{package}/status.json").decode() + mount.log.read_text()
    assert ckan_site.token() not in everything
    assert until("it in the listing", lambda: "Codes" in mount.ls(f"opendata/lab/{package}"))


def test_one_that_is_held_says_why_and_a_better_sidecar_frees_it(mount, ckan_site):
    package = f"{ckan_site.package()}-new"
    folder = mount.path / "drop/opendata" / package
    os.mkdir(folder)
    (folder / "data.csv").write_text(TABLE)
    (folder / "metadata.json").write_text("{}")
    mount.wait_state(package, "held", timeout=60)
    problems = mount.read(f"status/uploads/opendata/{package}/problems.txt").decode()
    assert "the site has no package" in problems and '"create_dataset"' in problems
    (folder / "metadata.json").write_text(json.dumps({"create_dataset": {"title": "New"}, "org": "lab"}))
    mount.wait_state(package, "done", timeout=60)
    assert ckan_site.api()("package_show", id=package)["private"] is True


def test_the_second_copy_sends_nothing(mount, ckan_site, tmp_path):
    package = ckan_site.package()
    folder = mount.path / "drop/opendata" / package
    shutil.copytree(_source(tmp_path), folder)
    (folder / ".commit").touch()
    mount.wait_state(package, "done", timeout=60)
    shutil.copyfile(tmp_path / "source/data.csv", folder / "data.csv")
    (folder / ".commit").touch()
    until("the second one done", lambda: mount.status(package)["left_out"], timeout=60)
    mount.wait_state(package, "done", timeout=60)
    assert len(ckan_site.api()("package_show", id=package)["resources"]) == 1


def test_an_edited_file_is_held_until_replace_is_set(mount, ckan_site, tmp_path):
    package = ckan_site.package()
    folder = mount.path / "drop/opendata" / package
    shutil.copytree(_source(tmp_path), folder)
    (folder / ".commit").touch()
    mount.wait_state(package, "done", timeout=60)
    (folder / "data.csv").write_text("code,n\n1,2\n")
    (folder / ".commit").touch()
    mount.wait_state(package, "held", timeout=60)
    (folder / "data.csv.metadata.json").write_text('{"replace": true}')
    mount.wait_state(package, "done", timeout=60)
    (resource,) = ckan_site.api()("package_show", id=package)["resources"]
    assert ckan_site.api()("datastore_search", resource_id=resource["id"])["total"] == 1


def test_the_daemon_may_stop_while_a_table_is_pushed(mount, ckan_site):
    package = ckan_site.package()
    folder = mount.path / "drop/opendata" / package
    os.mkdir(folder)
    (folder / "data.csv").write_text("n,t\n" + "".join(f"{i},x\n" for i in range(20_000)))
    (folder / ".commit").touch()
    mount.wait_state(package, "ingesting", timeout=60)
    mount.kill9()
    mount.start()
    mount.wait_state(package, "done", timeout=90)
    (resource,) = ckan_site.api()("package_show", id=package)["resources"]
    assert ckan_site.api()("datastore_search", resource_id=resource["id"], limit=0)["total"] == 20_000


def _source(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "data.csv").write_text(TABLE)
    return source
