"""The site's template, what may be chosen, and the official client beside the drop: real Pacifica services, a mount."""

import json
import os
import time

import pytest

from tests.integration.test_mount_pacifica import SERVICES, run
from tests.servers.pacifica.client import Client
from tests.servers.process import NotReady

pytestmark = [pytest.mark.mount, pytest.mark.pacifica, pytest.mark.timeout(180)]

TEMPLATE = [
    {
        "metaID": "instrument",
        "destinationTable": "Transactions.instrument",
        "displayTitle": "Instrument",
        "displayType": "select",
        "displayFormat": "{_id} {name_short}",
        "sourceTable": "instruments",
        "queryFields": ["_id", "name_short"],
        "valueField": "_id",
        "queryDependency": {"project_id": "project"},
        "directoryOrder": 1,
        "value": "",
    },
    {
        "metaID": "project",
        "destinationTable": "Transactions.project",
        "displayTitle": "Project",
        "displayType": "select",
        "displayFormat": "%(_id)s",
        "sourceTable": "projects",
        "queryFields": ["_id", "title"],
        "valueField": "_id",
        "queryDependency": {},
        "directoryOrder": 0,
        "value": "",
    },
    {"metaID": "tag", "destinationTable": "TransactionKeyValue", "key": "Tag", "displayType": "enter", "value": ""},
]


@pytest.fixture
def emsl(pacifica_site, mounted, tmp_path):
    """`emsl(template)`: a mount of the site, as its member."""

    def make(template=None, **options):
        if template is not None:
            (tmp_path / "uploader.json").write_text(json.dumps(template))
            options["template"] = str(tmp_path / "uploader.json")
        urls = {name: getattr(pacifica_site, name) for name in SERVICES}
        table = pacifica_site.archive_table(**urls, user="bkim", **options)
        return mounted({"archives": {"emsl": table}, "drop": {"quiet": "60s"}})

    return make


def test_what_may_be_chosen_is_read_where_it_is_needed(emsl):
    mount = emsl()
    drop = mount.path / "drop/emsl"
    assert {".choices", ".example", ".template.json"} <= set(os.listdir(drop))
    projects = (drop / ".choices/project").read_text()
    assert "51001 - " in projects and "Étude-7" in projects and "51003" not in projects
    assert (drop / ".choices/instrument/project=51001").read_text().count("\n") >= 2
    assert "NMR" in (drop / ".choices/instrument/project=Étude-7").read_text()
    assert "2001" in (drop / ".choices/instrument/all").read_text()
    assert run("grep", "-r", "NMR", drop / ".choices/instrument").stdout
    with pytest.raises(OSError):
        (drop / ".choices/new").write_text("x")
    with pytest.raises(OSError):
        os.mkdir(drop / ".choices")
    sidecar = json.loads((drop / ".example/metadata.json").read_text())
    (drop / "run").mkdir()
    (drop / "run/data").write_text("x")
    (drop / "run/metadata.json").write_text(json.dumps(sidecar))
    (drop / "run/.commit").touch()
    mount.wait_state("run", "done", 90)


def test_a_sidecar_is_completed_by_the_sites_template(emsl, pacifica_site):
    mount = emsl(TEMPLATE)
    drop = mount.path / "drop/emsl"
    assert json.loads((drop / ".template.json").read_text()) == TEMPLATE
    (drop / "run").mkdir()
    (drop / "run/a.dat").write_text("a")
    (drop / "run/metadata.json").write_text(json.dumps({"project": "Étude-7"}))
    (drop / "run/.commit").touch()
    held = mount.wait_state("run", "held", 60)
    assert "'tag'" in held["problems"][0]["what"]
    (drop / "run/metadata.json").write_text(json.dumps({"project": "Étude-7", "keys": {"Tag": "first"}}))
    (drop / "run/.commit").touch()
    done = mount.wait_state("run", "done", 90)
    folder = mount.path / f"emsl/transactions/{done['transaction']}"
    client = Client(pacifica_site)
    (row,) = client.files(int(done["transaction"]))
    client.close()
    assert (row["subdir"], row["name"]) == ("Étude-7/2003 NMR", "a.dat")
    assert (folder / "Étude-7/2003 NMR/a.dat").read_text() == "a"
    about = json.loads(folder.with_name(folder.name + ".json").read_text())
    assert str(about["instrument"]) == "2003" or about["instrument"]["id"] in (2003, "2003")


def test_a_template_that_is_none_stops_the_mount_with_its_place(emsl):
    with pytest.raises(NotReady, match=r"uploader.json: .*'metaID' \(entry 1\)"):
        emsl([{"destinationTable": "Transactions.project"}])


def test_the_official_client_and_the_drop_make_the_same_rows(emsl, pacifica_site, tmp_path):
    source = tmp_path / "parity"
    (source / "sub").mkdir(parents=True)
    (source / "a.txt").write_text("alpha\n")
    (source / "sub/b.bin").write_bytes(bytes(range(256)))
    past = time.time() - 86400
    for path in (source / "a.txt", source / "sub/b.bin"):
        os.utime(path, (int(past), int(past)))
    state = pacifica_site.cli_upload(source)
    assert state["state"] == "OK", state
    mount = emsl()
    drop = mount.path / "drop/emsl/bundle"
    drop.mkdir()
    run("cp", "-a", source, drop / "parity")
    sidecar = {
        "submitter": pacifica_site.user,
        "project": pacifica_site.project,
        "instrument": pacifica_site.instrument,
    }
    (drop / "metadata.json").write_text(json.dumps(sidecar))
    (drop / ".commit").touch()
    ours = mount.wait_state("bundle", "done", 90)["transaction"]
    client = Client(pacifica_site)
    try:
        rows = [_rows(client, int(id)) for id in (state["job_id"], ours)]
    finally:
        client.close()
    assert rows[0] == rows[1]


def _rows(client, transaction):
    """What the metadata service has of a transaction, without ids, and the times at which the rows were made."""
    own = {"_id", "transaction", "created", "updated", "deleted"}
    files = [{key: value for key, value in row.items() if key not in own} for row in client.files(transaction)]
    query = {"_id": transaction, "recursion_depth": 0}
    (of,) = client.call("GET", f"{client.site.metadata}/transsip", 200, params=query).json()
    return sorted(files, key=lambda row: row["name"]), {key: value for key, value in of.items() if key not in own}
