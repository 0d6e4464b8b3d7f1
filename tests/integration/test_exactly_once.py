"""Connection, servers, daemon and jobs break at every stage, for real: one transaction each, or a reason."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile

import pytest
import requests

from tests.servers.faults import CutRequest, LoseAnswer, Replace, Reply, Rewrite, Stall, StallAnswer
from tests.servers.pacifica import seed

from .tools import Bundles, read, until

pytestmark = [pytest.mark.mount, pytest.mark.pacifica, pytest.mark.timeout(120)]

DATA = os.urandom(600_000)
JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}
SERVICES = ("policy", "metadata", "ingest", "archive_interface")
DAY = (("2001", "51001"), ("2002", "51001"), ("2003", "Étude-7"), ("2003", "51003"), ("2004", "49004"))


def tables(front):
    """The site as most users see it; and as an instrument's workstation does, which needs no sidecar."""
    bench = {"layout": "{instrument}/{project}/{name}", "defaults": {"keys": {"Site": "north"}}}
    bench["user"] = seed.LOGONS[seed.ADMIN]
    drop = {"quiet": "60s", "quiet_unmarked": "1s"}
    return {"drop": drop, "archives": {"site": front.table(*SERVICES), "bench": front.table(*SERVICES, **bench)}}


@pytest.fixture(autouse=True)
def no_faults(front):
    front.clear()
    front.forget()
    yield
    front.clear()


@pytest.fixture
def alone(mounted):
    """`alone(table, drop)`: a mount of its own for a test that ends it, and what drops bundles into it."""

    def make(table, **drop):
        mount = mounted({"drop": drop, "archives": {"site": table}})
        return mount, Bundles(mount, mount.folder)

    return make


def straight(site, **services):
    """A table of `site` without proxies, but for `services`."""
    urls = {name: getattr(site, name) for name in SERVICES}
    return {"kind": "pacifica", "user": site.logon, **urls, **services}


def ask(site, what, **where):
    """Rows of the site's own tables."""
    answer = requests.get(f"{site.metadata}/{what}", params={"recursion_depth": 0, **where}, timeout=30)
    answer.raise_for_status()
    return answer.json()


def transactions(site, bundle):
    """The transactions that carry the id of the bundle, as the site's own tables have it."""
    keys, values = ask(site, "keys", key="pacifica-fs.bundle"), ask(site, "values", value=bundle)
    if not keys or not values:
        return []
    rows = ask(site, "trans_key_value", key=keys[0]["_id"], value=values[0]["_id"])
    return [str(row["transaction"]) for row in rows]


def once(mount, site, name):
    """Done, in exactly one transaction, which has the bytes; its status."""
    status = mount.wait_state(name, "done", 60)
    assert transactions(site, status["id"]) == [status["transaction"]]
    assert read(mount.path / "site/transactions" / status["transaction"] / "a") == DATA
    return status


def asking(mount, **request):
    """What `pacifica-fs retry` and `discard` do."""
    os.setxattr(mount.path / "drop", "user.pacifica.control", json.dumps(request).encode())


# The connection.


@pytest.mark.parametrize(
    ("fault", "tries"),
    [
        pytest.param(CutRequest(after=0), 2, id="before the body"),
        pytest.param(CutRequest(after=100_000), 2, id="within the body"),
        pytest.param(LoseAnswer(), 1, id="after the body"),
        pytest.param(Replace(200, b"{}", JSON), 1, id="an answer without a job"),
        pytest.param(Replace(504, b"<html>Time-out</html>", HTML), 1, id="a gateway's time-out"),
    ],
)
def test_the_connection_is_cut(mount, bundles, front, pacifica_site, fault, tries):
    front["ingest"].on("POST", "/upload", fault, times=1)
    assert once(mount, pacifica_site, bundles.drop({"a": DATA}))["attempts"] == tries
    assert front["ingest"].count("POST", "/upload") == tries


def test_an_end_that_never_arrived_is_its_users_decision(alone, front, pacifica_site):
    """A gateway swallowed all of it: the site is asked, and asked once more before it is sent again."""
    mount, bundles = alone(front.table(*SERVICES), confirm_after="2s")
    front["ingest"].on("POST", "/upload", Reply(502, b"<html>Bad Gateway</html>", HTML), times=1)
    name = bundles.drop({"a": DATA})
    status = mount.wait_state(name, "held", 60)
    assert "does not have it" in status["problems"][0]["what"]
    assert front["ingest"].count("POST", "/upload") == 1 and transactions(pacifica_site, status["id"]) == []
    asking(mount, do="retry", id=status["id"])
    assert once(mount, pacifica_site, name)["attempts"] == 2


@pytest.mark.parametrize(
    "fault", [Reply(503), Reply(200, b"<html>please log in</html>", HTML), Stall()], ids=["503", "page", "stalls"]
)
def test_polling_breaks(mount, bundles, front, pacifica_site, fault):
    front["ingest"].on("GET", "get_state.job_id=[0-9]", fault)
    name = bundles.drop({"a": DATA})
    mount.wait_state(name, "ingesting", 30)
    if not isinstance(fault, Stall):
        until("it says so", lambda: "an answer of site" in mount.status(name)["waiting_for"])
    front["ingest"].clear()
    once(mount, pacifica_site, name)
    assert front["ingest"].count("POST", "/upload") == 1


def test_a_job_number_that_was_given_twice(mount, bundles, front, pacifica_site):
    """The site gives our upload the number of another one: that is seen, and ours is found."""
    other = bundles.drop({"a": b"somebody else's"})
    job = int(mount.wait_state(other, "done")["job"])
    answer = json.dumps({"job_id": job, "state": "OK", "task": "UPLOADING", "complete": False}).encode()
    front["ingest"].on("POST", "/upload", Replace(200, answer, JSON), times=1)
    status = once(mount, pacifica_site, bundles.drop({"a": DATA}))
    assert status["transaction"] != str(job) and status["attempts"] == 1


def test_a_job_that_the_site_forgot(mount, bundles, front, pacifica_site):
    said = b'{"status": "404 Not Found", "message": "job ID 1 does not exist.", "traceback": "", "version": "18.10.0"}'
    front["ingest"].on("GET", "get_state.job_id=[0-9]", Reply(404, said, JSON))
    once(mount, pacifica_site, bundles.drop({"a": DATA}))
    assert front["ingest"].count("POST", "/upload") == 1


# The servers, and the daemon.


def test_the_server_is_killed_within_the_body(alone, pacifica_faults):
    mount, bundles = alone(straight(pacifica_faults), bandwidth="200 KiB")
    name = bundles.drop({"a": DATA})
    until("some of it went out", lambda: mount.status(name)["state"] == "sending" and mount.status(name)["sent"])
    pacifica_faults.kill("ingest")
    until("it says so", lambda: "the upload broke" in str(mount.status(name)["problems"]))
    pacifica_faults.start("ingest")
    assert once(mount, pacifica_faults, name)["attempts"] > 1


def test_the_worker_is_killed_and_then_the_daemon(alone, faulty, pacifica_faults):
    """The job stands still for ever: it is followed, not repeated, and goes on with the worker."""
    ingest = faulty(pacifica_faults.ingest)
    mount, bundles = alone(straight(pacifica_faults, ingest=ingest.url))
    pacifica_faults.kill("ingest-worker")
    name = bundles.drop({"a": DATA})
    mount.wait_state(name, "ingesting", 30)
    mount.kill9()
    mount.start()
    assert mount.status(name)["state"] == "ingesting"
    pacifica_faults.start("ingest-worker")
    once(mount, pacifica_faults, name)
    assert ingest.count("POST", "/upload") == 1


@pytest.mark.parametrize(
    ("fault", "state", "tries"),
    [
        pytest.param(Stall(), "sending", 2, id="within the body"),
        pytest.param(StallAnswer(), "sending", 1, id="right after the body"),
        pytest.param(LoseAnswer(), "unconfirmed", 1, id="while it is looked for"),
    ],
)
def test_the_daemon_is_killed(alone, front, pacifica_site, fault, state, tries):
    mount, bundles = alone(front.table(*SERVICES))
    front["ingest"].on("POST", "/upload", fault, times=1)
    if state == "unconfirmed":
        front["metadata"].on("GET", "", Reply(503))
    name = bundles.drop({"a": DATA})
    mount.wait_state(name, state, 30)
    front["ingest"].wait(1, "POST", "/upload")
    if isinstance(fault, StallAnswer):
        (journal,) = mount.folder.rglob(f"bundles/{mount.status(name)['id']}/bundle.json")
        until("the end went out", lambda: json.loads(journal.read_text()).get("end_sent"))
    mount.kill9()
    front.clear()
    mount.start()
    once(mount, pacifica_site, name)
    assert front["ingest"].count("POST", "/upload") == tries


# A day of an instrument, without any sidecar.


def test_five_project_folders(mount, front, pacifica_site):
    drop = mount.path / "drop/bench"
    for instrument, project in DAY:
        (drop / instrument / project / "morning").mkdir(parents=True)
        (drop / instrument / project / "morning/scan").write_text(f"{instrument} {project}")
    for instrument, project in DAY:
        number = mount.wait_state(f"{instrument}/{project}/morning", "done", 60, "bench")["transaction"]
        (row,) = ask(pacifica_site, "transsip", _id=number)
        assert (row["submitter"], row["instrument"], row["project"]) == (seed.ADMIN, int(instrument), project)
        assert read(mount.path / f"bench/transactions/{number}/scan") == f"{instrument} {project}".encode()
        assert '"north"' in (mount.path / f"bench/transactions/{number}.json").read_text()
    for unknown in ("9999", "2001/nosuch"):
        with pytest.raises(PermissionError):
            (drop / unknown).mkdir()
    with pytest.raises(PermissionError):
        (drop / "2001/file").write_text("no bundle")


def test_the_site_judges_a_sidecar_while_data_is_still_copied(mount, bundles):
    name = bundles.drop({}, None, commit=False)
    folder = mount.path / "drop/site" / name
    with (folder / "data").open("wb") as data:
        data.write(DATA)
        (folder / "metadata.json").write_text('{"project": "nosuch", "instrument": 2001}')
        until("the verdict", lambda: "nosuch is not known to the site" in bundles.words(name))
        assert mount.status(name)["state"] == "open"


def test_a_dry_run_of_a_sidecar(mount, tmp_path):
    """`pacifica-fs check SIDECAR --archive X`: the site's own verdict, before anything is copied."""

    def check(**fields):
        sidecar = tmp_path / "metadata.json"
        sidecar.write_text(json.dumps(fields))
        words = [sys.executable, "-m", "pacifica_fs", "check", "-c", mount.config, sidecar, "--archive", "site"]
        done = subprocess.run(words, env=mount.environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    assert check(project="51001", instrument=2001)[0] == 0
    code, words = check(project="nosuch", instrument=2001)
    assert code == 1 and "project nosuch is not known to the site" in words
    code, words = check(project="51003", instrument=2003)
    assert code == 1 and "may not upload to project 51003 with instrument 2003" in words


# Jobs that fail at each task of ingest: what arrives there is changed on the way.


def repack(change):
    """A fault that changes the members of the tar: `change` gets and gives a dictionary of contents."""

    def rewrite(body):
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data in change(members).items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return out.getvalue()

    return Rewrite(rewrite)


def entry(**fields):
    """Changes each file's entry in metadata.txt."""

    def change(members):
        listed = json.loads(members["metadata.txt"])
        made = [{**one, **fields} if one["destinationTable"] == "Files" else one for one in listed]
        return {**members, "metadata.txt": json.dumps(made).encode()}

    return repack(change)


FAILING = {
    "open tar": (Rewrite(gzip.compress), "damaged or cut off"),
    "load metadata": (repack(lambda m: {k: v for k, v in m.items() if k != "metadata.txt"}), "metadata.txt"),
    "load metadata, broken": (repack(lambda m: {**m, "metadata.txt": b"[{"}), "cannot read the upload's metadata"),
    "Policy Validation": (
        repack(lambda m: {**m, "metadata.txt": m["metadata.txt"].replace(b"51001", b"nosuch")}),
        "project",
    ),
    "ingest files": (repack(lambda m: {**m, "data/a": bytes(len(DATA))}), "do not match its hash"),
    "ingest files, missing": (repack(lambda m: {"metadata.txt": m["metadata.txt"]}), "missing in the upload"),
    "ingest files, hash": (entry(hashtype="nosuch"), "kind of hash"),
    "ingest metadata": (entry(name="a", mimetype="nosuch/type"), "ingest metadata"),
    "ingest metadata, long": (
        repack(
            lambda m: {
                "data/" + "n" * 256: m["data/a"],
                "metadata.txt": m["metadata.txt"].replace(b'"name": "a"', b'"name": "' + b"n" * 256 + b'"'),
            }
        ),
        "longer than",
    ),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_job_that_fails_says_why_and_is_sent_again_when_its_user_wants(mount, bundles, front, pacifica_site, what):
    fault, words = FAILING[what]
    front["ingest"].on("POST", "/upload", fault, times=1)
    name = bundles.drop({"a": DATA})
    status = until("it fails", lambda: (s := mount.status(name))["state"] == "failed" and s, 30)
    told = bundles.words(name)
    assert words in told and f"({what.partition(',')[0]})" in told and "Traceback" not in told
    assert "PROBLEMS.txt" in os.listdir(mount.path / "drop/site" / name)
    assert transactions(pacifica_site, status["id"]) == []
    asking(mount, do="retry", id=status["id"])
    once(mount, pacifica_site, name)
