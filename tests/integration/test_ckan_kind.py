"""The kind `ckan` against real CKAN, without a mount: what it lists, reads, takes and refuses."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from pacifica_fs.archive import Data, Effects
from pacifica_fs.archives.ckan.archive import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import parse
from pacifica_fs.errors import Denied, NotFound, TooLarge, Unobtainable
from pacifica_fs.model import UNKNOWN, Metadata
from tests.contract.tools import make_bundle
from tests.servers.ckan.seed import FRAME, READINGS
from tests.servers.faults import LoseAnswer
from tests.servers.workbooks import xlsx

pytestmark = [pytest.mark.ckan, pytest.mark.timeout(180)]
TABLE = b"code,n,when\n00123,1,2024-01-31\n0044,2,2024-02-01\n"


class Kind:
    """One built archive, with the steps of the drop."""

    def __init__(self, folder: Path, **table: Any) -> None:
        self.folder = folder
        settings = parse({"archives": {"opendata": table}}).archives[0]
        self.built = build(settings, Effects(SystemClock(), folder / "state", folder / "cache"))
        self.archive, self.inbox = self.built.archive, self.built.inbox

    def bundle(self, package: str, files: dict[str, bytes], each: dict[str, dict] | None = None, **fields: Any):
        def metadata(said: dict[str, Any]) -> Metadata:
            return Metadata({k: v if isinstance(v, str) else json.dumps(v) for k, v in said.items()})

        own = {path: metadata(said) for path, said in (each or {}).items()}
        made = make_bundle(self.folder, "opendata", "sha256", files, name=package, metadata=metadata(fields), each=own)
        return made

    def send(self, bundle):
        lasts: list[int] = []
        ticket = self.inbox.send(bundle, lambda count: None, lambda: lasts.append(1))
        assert lasts == [1]
        return ticket

    def end(self, ticket, timeout=90.0):
        deadline = time.monotonic() + timeout
        while not (progress := self.inbox.poll(ticket)).outcome:
            assert time.monotonic() < deadline, progress
            time.sleep(0.05)
        return progress

    def done(self, bundle):
        assert list(self.inbox.check(bundle)) == []
        progress = self.end(self.send(bundle))
        assert progress.outcome == "done", progress
        return progress

    def problems(self, bundle) -> str:
        return " | ".join(f"{one.path}: {one.what}" for one in self.inbox.check(bundle))

    def close(self) -> None:
        self.archive.close()


@pytest.fixture
def kind(kinds, ckan_site):
    return kinds(ckan_site)


def content(archive, ref, start=0) -> bytes:
    return b"".join(bytes(one.data) for one in archive.open((ref,), start=start) if isinstance(one, Data))


def table_of(site, package, name="data.csv"):
    """Types and rows of the DataStore table of a resource."""
    api = site.api("admin")
    resources = [one for one in api("package_show", id=package)["resources"] if one["name"] == name]
    assert len(resources) == 1, resources
    found = api("datastore_search", resource_id=resources[0]["id"], sort="_id", limit=32000)
    types = {field["id"]: field["type"] for field in found["fields"] if field["id"] != "_id"}
    return types, [[row[name] for name in types] for row in found["records"]]


# read


def test_organisations_packages_and_files(kind):
    assert "lab" in [group.id for group in kind.archive.groups("organisation", {}).entries]
    listing = kind.archive.containers({"organisation": "lab"}, 1000)
    assert {"lab-data", "lab-private"} <= {one.label for one in listing.entries} and listing.complete
    package = kind.archive.find_container({"organisation": "lab"}, "lab-data")
    refs = {"/".join(ref.parts): ref for ref in kind.archive.files(package.id)}
    assert set(refs) == {
        "readings.csv", "detector frame.bin", ".datastore/readings.csv", ".datastore/readings.schema.json",
    }  # fmt: skip
    assert refs["readings.csv"].size == len(READINGS) and refs["readings.csv"].mtime_ns > 0
    assert content(kind.archive, refs["readings.csv"]).decode() == READINGS
    assert content(kind.archive, refs["detector frame.bin"], start=100_000) == FRAME[100_000:]


def test_the_datastore_as_files(kind):
    refs = {"/".join(ref.parts): ref for ref in kind.archive.files(kind.archive.find_container({}, "lab-data").id)}
    dump = content(kind.archive, refs[".datastore/readings.csv"]).decode().splitlines()
    assert refs[".datastore/readings.csv"].size == UNKNOWN
    assert dump[0] == "_id,time,sensor,value" and len(dump) == 201
    schema = json.loads(content(kind.archive, refs[".datastore/readings.schema.json"]))
    assert [field["id"] for field in schema["fields"]] == ["time", "sensor", "value"] and schema["meta"]["count"] == 200


def test_names_are_found_without_a_listing(kind, ckan_site):
    with pytest.raises(NotFound):
        kind.archive.find_container({"organisation": "lab"}, "no-such-package")
    with pytest.raises(NotFound):
        kind.archive.find_group("organisation", {}, "no-such-organisation")
    with pytest.raises(NotFound):
        kind.archive.find_container({}, ".git")
    assert kind.archive.find_group("organisation", {}, "lab").id == "lab"


def test_a_listing_of_many_is_one_request(kinds, ckan_site, faulty, tmp_path):
    proxy = faulty(ckan_site.url)
    kind = kinds(ckan_site, url=proxy.url)
    for _ in range(3):
        ckan_site.package()
    found = kind.archive.containers({"organisation": "lab"}, 1000)
    assert len(found.entries) >= 5 and all(one.info for one in found.entries)
    assert proxy.count("POST", "package_search") == 1 == proxy.count("POST")


def test_what_is_too_much_for_a_listing_says_so_after_one_page(kind, ckan_site):
    found = kind.archive.containers({"organisation": "lab"}, 1)
    assert not found.complete and len(found.entries) == 1


def test_links_have_the_size_that_their_server_says(kind, ckan_site):
    package = ckan_site.package()
    public = ckan_site.api()("package_show", id="lab-data")
    url = next(one["url"] for one in public["resources"] if one["name"] == "readings.csv")
    ckan_site.api()("resource_create", package_id=package, name="a link", url=url)
    ckan_site.api()("resource_create", package_id=package, name="a page", url=f"{ckan_site.url}/dataset/lab-data")
    ckan_site.api()("resource_create", package_id=package, name="dead", url="http://127.0.0.1:9/x")
    refs = {ref.parts[0]: ref for ref in kind.archive.files(kind.archive.find_container({}, package).id)}
    assert refs["a link"].size == len(READINGS) and content(kind.archive, refs["a link"]).decode() == READINGS
    assert content(kind.archive, refs["a link"], 1000).decode() == READINGS[1000:]
    assert refs["dead"].size == UNKNOWN


def test_a_link_of_a_protocol_that_nobody_knows(kind, ckan_site):
    package = ckan_site.package()
    ckan_site.api()("resource_create", package_id=package, name="odd", url="gopher://example.org/x")
    (ref,) = kind.archive.files(kind.archive.find_container({}, package).id)
    with pytest.raises(Unobtainable, match="gopher"):
        content(kind.archive, ref)


def test_private_packages_are_for_who_may(kinds, ckan_site, kind):
    assert kind.archive.find_container({}, "lab-private").label == "lab-private"
    stranger = kinds(ckan_site, token=ckan_site.token("stranger"))
    public = kinds(ckan_site, token=None)
    for other in (stranger, public):
        with pytest.raises(Denied):
            other.archive.find_container({}, "lab-private")
        listed = other.archive.containers({"organisation": "lab"}, 1000).entries
        assert "lab-private" not in [one.label for one in listed] and "lab-data" in [one.label for one in listed]
    assert len({kind.archive.identity, stranger.archive.identity, public.archive.identity}) == 3


def test_a_bad_token_is_noticed_and_said(kinds, ckan_site):
    assert kinds(ckan_site).archive.probe().identity == "editor"
    bad = kinds(ckan_site, token="no-such-token")
    health = bad.archive.probe()
    assert health.reachable and "the token is not valid" in health.error and health.identity == "anonymous"
    assert "no-such-token" not in repr(health)
    assert "does not accept the token" in bad.problems(bad.bundle("lab-data", {"a.bin": b"x"}))
    assert "need a token" in kinds(ckan_site, token=None).problems(bad.bundle("lab-data", {"a.bin": b"x"}))


# push


def test_a_table_becomes_a_resource_and_a_datastore_table(kind, ckan_site):
    package = ckan_site.package()
    bundle = kind.bundle(package, {"data.csv": TABLE})
    progress = kind.done(bundle)
    (resource,) = ckan_site.api()("package_show", id=package)["resources"]
    assert (resource["name"], resource["format"], resource["hash"]) == ("data.csv", "CSV", "")
    assert (resource["pfs_bundle"], resource["pfs_sha256"]) == (bundle.id, hashlib.sha256(TABLE).hexdigest())
    types, rows = table_of(ckan_site, package)
    assert types == {"code": "text", "n": "numeric", "when": "timestamp"}
    assert [row[0] for row in rows] == ["00123", "0044"]
    shown = progress.details["files"]["data.csv"]
    assert shown["route"] == "direct" and shown["datastore"]["rows_stored"] == shown["datastore"]["rows_expected"] == 2
    (ref,) = kind.inbox.added(bundle, progress.container)
    assert content(kind.archive, ref) == TABLE and kind.inbox.find(bundle) == (progress.container,)


def test_sending_twice_makes_one_resource(kind, ckan_site):
    package = ckan_site.package()
    bundle = kind.bundle(package, {"data.csv": TABLE, "notes.txt": b"hello"})
    kind.done(bundle)
    kind.done(bundle)
    assert len(ckan_site.api()("package_show", id=package)["resources"]) == 2


def test_an_answer_that_is_lost_makes_one_resource(kinds, ckan_site, faulty):
    proxy = faulty(ckan_site.url)
    kind = kinds(ckan_site, url=proxy.url)
    package = ckan_site.package()
    bundle = kind.bundle(package, {"data.csv": TABLE})
    proxy.on("POST", "resource_create", LoseAnswer(), times=1)
    with pytest.raises(Exception):  # noqa: B017 - an outage, whichever
        kind.send(bundle)
    deadline = time.monotonic() + 60
    while not (found := kind.inbox.find(bundle)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(ckan_site.api()("package_show", id=package)["resources"]) == 1 and len(found) == 1
    assert len(table_of(ckan_site, package)[1]) == 2


def test_the_same_name_and_bytes_again_is_nothing_to_do(kind, ckan_site):
    package = ckan_site.package()
    kind.done(kind.bundle(package, {"data.csv": TABLE}))
    before = ckan_site.api()("package_show", id=package)["resources"]
    progress = kind.done(kind.bundle(package, {"data.csv": TABLE}))
    assert ckan_site.api()("package_show", id=package)["resources"] == before
    assert progress.details["files"]["data.csv"]["route"] == "as before"


def test_bytes_that_somebody_else_uploaded_are_compared(kind, ckan_site):
    package = ckan_site.package()
    api = ckan_site.api()
    api("resource_create", files={"upload": ("a.bin", b"same")}, package_id=package, name="a.bin")
    kind.done(kind.bundle(package, {"a.bin": b"same"}))
    assert "with other content" in kind.problems(kind.bundle(package, {"a.bin": b"else"}))
    assert len(api("package_show", id=package)["resources"]) == 1


def test_the_same_name_with_other_bytes_is_held_until_replace_is_set(kind, ckan_site):
    package = ckan_site.package()
    kind.done(kind.bundle(package, {"data.csv": TABLE}))
    (before,) = ckan_site.api()("package_show", id=package)["resources"]
    other = b"code,n\n7,8\n"
    held = kind.bundle(package, {"data.csv": other})
    assert "data.csv: the package has a resource 'data.csv' with other content" in kind.problems(held)
    assert '"replace": true' in kind.inbox.check(held)[0].remedy
    kind.done(kind.bundle(package, {"data.csv": other}, replace="true"))
    (after,) = ckan_site.api()("package_show", id=package)["resources"]
    assert after["id"] == before["id"] and ckan_site.api().download(after["url"]) == other
    assert table_of(ckan_site, package)[1] == [[7, 8]]


def test_another_resource_can_be_named_for_replacement(kind, ckan_site):
    package = ckan_site.package()
    kind.done(kind.bundle(package, {"old.csv": TABLE}))
    kind.done(kind.bundle(package, {"new.csv": b"a,b\n1,2\n"}, replace="old.csv"))
    (resource,) = ckan_site.api()("package_show", id=package)["resources"]
    assert resource["name"] == "old.csv" and table_of(ckan_site, package, "old.csv")[1] == [[1, 2]]
    assert "no resource called 'gone.csv'" in kind.problems(kind.bundle(package, {"x.csv": TABLE}, replace="gone.csv"))


def test_a_package_is_made_only_when_asked_for_and_private(kind, ckan_site):
    name = f"{ckan_site.package()}-new"
    bundle = kind.bundle(name, {"data.csv": TABLE})
    assert f"the site has no package '{name}'" in kind.problems(bundle)
    asked = kind.bundle(name, {"data.csv": TABLE}, create_dataset={"title": "New"})
    assert "needs an organisation" in kind.problems(asked)
    kind.done(kind.bundle(name, {"data.csv": TABLE}, create_dataset={"title": "New"}, org="lab"))
    made = ckan_site.api()("package_show", id=name)
    assert made["private"] is True and made["title"] == "New" and made["organization"]["name"] == "lab"
    assert table_of(ckan_site, name)[1][0][0] == "00123"


def test_a_package_can_be_made_public(kind, ckan_site):
    name = f"{ckan_site.package()}-pub"
    kind.done(kind.bundle(name, {"a.bin": b"x"}, create_dataset={"private": False}, org="lab"))
    assert ckan_site.api()("package_show", id=name)["private"] is False


def test_who_may_not_write_is_told_before_a_byte_is_sent(kinds, ckan_site):
    stranger = kinds(ckan_site, token=ckan_site.token("stranger"))
    assert "may not change the package" in stranger.problems(stranger.bundle("lab-data", {"a.bin": b"x"}))
    asked = stranger.bundle("some-new-one", {"a.bin": b"x"}, create_dataset={}, org="lab")
    assert "may not make packages" in stranger.problems(asked)


def test_over_max_upload_is_held_before_it_is_sent(kinds, ckan_site, faulty):
    proxy = faulty(ckan_site.url)
    kind = kinds(ckan_site, url=proxy.url, max_upload="10 KiB")
    bundle = kind.bundle(ckan_site.package(), {"big.bin": b"x" * 20_000})
    assert "big.bin: has 20000 bytes; the site takes files of at most 10240 (max_upload)" in kind.problems(bundle)
    assert proxy.count("POST") == 0


def test_what_the_site_finds_too_large_says_what_to_set(kind, ckan_site):
    bundle = kind.bundle(ckan_site.package(), {"big.bin": b"x" * (5 << 20)})
    with pytest.raises(TooLarge, match="max_upload"):
        kind.send(bundle)


def test_what_is_no_table_is_uploaded_and_says_so(kind, ckan_site):
    package = ckan_site.package()
    progress = kind.done(kind.bundle(package, {"page.csv": b"<!DOCTYPE html><html></html>", "a.bin": b"\0\1"}))
    for shown in progress.details["files"].values():
        assert shown["remarks"][0].startswith("not a table: ")
    assert not any(one["datastore_active"] for one in ckan_site.api()("package_show", id=package)["resources"])


def test_bad_cells_are_held_with_row_and_column(kind, ckan_site):
    fields = [{"id": "n", "type": "numeric"}]
    bundle = kind.bundle(ckan_site.package(), {"data.csv": b"n,t\n1,a\nabc,b\n"}, fields=fields)
    assert "data.csv: line 3 (row 2), column 'n': 'abc' is not a number" in kind.problems(bundle)


def test_the_sidecar_of_one_file(kind, ckan_site):
    package = ckan_site.package()
    own = {
        "name": "Readings of May", "description": "by hand", "extras": {"instrument": "54"}, "delimiter": ";",
        "header": 2, "null_values": ["NA"], "primary_key": ["k"],
        "fields": [
            {"id": "k", "type": "text", "label": "Key", "notes": "unique"}, {"id": "p", "decimal": ","},
            {"id": "d", "date_format": "%d-%m-%Y"},
        ],
    }  # fmt: skip
    data = b"a title\nk;p;d\n01;1,5;31-12-2020\n02;NA;01-02-2021\n"
    bundle = kind.bundle(package, {"data.csv": data, "other.csv": TABLE}, each={"data.csv": own})
    kind.done(bundle)
    types, rows = table_of(ckan_site, package, "Readings of May")
    assert types == {"k": "text", "p": "numeric", "d": "timestamp"}
    assert rows == [["01", 1.5, "2020-12-31T00:00:00.000"], ["02", None, "2021-02-01T00:00:00.000"]]
    resource = next(r for r in ckan_site.api()("package_show", id=package)["resources"] if r["name"] != "other.csv")
    assert (resource["description"], resource["instrument"]) == ("by hand", "54")
    info = ckan_site.api()("datastore_info", id=resource["id"])["fields"][0]["info"]
    assert info == {"label": "Key", "notes": "unique"}
    assert {"/".join(ref.parts) for ref in kind.inbox.added(bundle, package)} == {"data.csv", "other.csv"}


@pytest.mark.parametrize(
    ("said", "why"),
    [({"mode": "fast"}, "'mode' is auto"), ({"header": "two"}, "'header' is the number"),
     ({"fields": {"id": "n"}}, "'fields' must be a list"), ({"fields": [{"name": "n"}]}, "'fields'"),
     ({"fields": [{"id": "n", "type": "integer"}]}, "the type is one of"), ({"extras": {"id": "x"}}, "reserved"),
     ({"primary_key": "n"}, "'primary_key' must be"), ({"nonsense": "1"}, "'nonsense' is not known here"),
     ({"mode": "datapusher"}, "the site has none"), ({"dataset": "Bad Name"}, "cannot be the name"),
     ({"sheet": "x", "fields": [{"id": "zz"}]}, "no column 'zz'")],
)  # fmt: skip
def test_sidecars_that_make_no_sense(kind, ckan_site, said, why):
    assert why in kind.problems(kind.bundle("lab-data", {"data.csv": TABLE}, **said))


def test_mode_none_only_uploads(kind, ckan_site):
    package = ckan_site.package()
    kind.done(kind.bundle(package, {"data.csv": TABLE}, mode="none"))
    (resource,) = ckan_site.api()("package_show", id=package)["resources"]
    assert resource["datastore_active"] is False


def test_a_workbook(kind, ckan_site, tmp_path):
    package = ckan_site.package()
    sheets = {"First": [["a", "b"], [1, "00x"]], "Second": [["c"], [3]]}
    data = xlsx(tmp_path / "w.xlsx", sheets).read_bytes()
    kind.done(kind.bundle(package, {"w.xlsx": data}))
    assert table_of(ckan_site, package, "w.xlsx")[1] == [[1, "00x"]]
    kind.done(kind.bundle(package, {"w.xlsx": data}, each={"w.xlsx": {"name": "second", "sheet": "Second"}}))
    assert table_of(ckan_site, package, "second")[1] == [[3]]


def test_a_push_is_taken_up_after_a_restart(kinds, ckan_site, tmp_path):
    package = ckan_site.package()
    first = kinds(ckan_site)
    ticket = first.send(first.bundle(package, {"data.csv": TABLE}))
    first.close()
    second = kinds(ckan_site)
    assert second.end(ticket).outcome == "done" and len(table_of(ckan_site, package)[1]) == 2


def test_a_failed_push_says_why_and_is_tried_again_by_sending(kind, ckan_site):
    package = ckan_site.package()
    twice = b"k,v\n1,a\n1,b\n"
    bundle = kind.bundle(package, {"data.csv": twice}, primary_key=["k"])
    progress = kind.end(kind.send(bundle))
    assert progress.outcome == "failed" and "duplicate key" in progress.message
    assert kind.end(kind.send(bundle)).outcome == "failed"
    assert len(ckan_site.api()("package_show", id=package)["resources"]) == 1
    assert ckan_site.token() not in repr(progress)
