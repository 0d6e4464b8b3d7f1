"""Events: written by hand, and sent by the site's own notifications service through `pacifica-fs events`."""

import errno
import json
import os
import re
import sys
import threading
import time

import pytest
import requests

from tests.mount.harness import Mount
from tests.servers.fixtures import unavailable
from tests.servers.pacifica import Site, Unavailable
from tests.servers.pacifica.client import Client
from tests.servers.process import Process

from .tools import read, run, until

pytestmark = [pytest.mark.pacifica, pytest.mark.mount, pytest.mark.timeout(240)]

FILES = {"a/b/foo.txt": b"hello\n", "bar.bin": os.urandom(300_000), "empty": b""}
SUBSCRIPTION = {"name": "pacifica-fs", "jsonpath": '$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'}


@pytest.fixture(scope="module")
def site(guard):
    """A site of its own, with notifications."""
    try:
        site = Site.prepare(guard, notifications=True)
    except Unavailable as reason:
        unavailable(str(reason))
        raise
    with site:
        yield site


@pytest.fixture(scope="module")
def client(site):
    return Client(site)


@pytest.fixture(scope="module")
def mount(site, guard, tmp_path_factory):
    rules = [{"project": "49004"}, {"user": site.logon, "keys": {"Fetch": "now"}}, {"user": "nobody"}]
    table = {"kind": "pacifica", "policy": site.policy, "cart": site.cart, "user": site.logon}
    table |= {"listing_ttl": "1h", "prefetch": rules}
    mount = Mount(tmp_path_factory.mktemp("mount"), {"archives": {"site": table, "here": {"kind": "local"}}}, guard)
    mount.start()
    yield mount
    mount.stop()
    assert not mount.unexpected_tracebacks(), "\n\n".join(mount.unexpected_tracebacks())


@pytest.fixture(scope="module")
def listener(mount, guard, tmp_path_factory):
    """The address at which `pacifica-fs events` listens."""
    log = tmp_path_factory.mktemp("listener") / "log"
    command = [sys.executable, "-m", "pacifica_fs", "events", "--listen", "127.0.0.1:0", "-m", str(mount.path)]
    process = Process("events", command, guard=guard, log=log, env=mount.environment, cwd=mount.folder)
    process.start()
    found = until("it listens", lambda: re.search(r"listening on (http://[\d.:]+)", log.read_text()))
    yield found[1]
    process.interrupt()
    assert process.join(20) == 0, log.read_text()


@pytest.fixture(scope="module")
def subscribed(site, listener):
    """The one request that a user makes."""
    answer = requests.post(
        f"{site.notifications}/eventmatch",
        json=SUBSCRIPTION | {"target_url": listener},
        headers={"Http-Remote-User": site.logon},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["uuid"]


def ingest_event(site, id, files, form="1.0"):
    """The event of a transaction, made of what the site lists."""
    rows = requests.get(
        f"{site.metadata}/files", params={"transaction_id": id, "recursion_depth": 0}, timeout=30
    ).json()
    assert len(rows) == len(files)
    data = [{"destinationTable": "Files", **row} for row in rows]
    data += [{"destinationTable": "Transactions._id", "value": id}]
    type, source = "org.pacifica.metadata.ingest", f"http://metadata.example/transactions?_id={id}"
    if form == "0.1":
        return {
            "cloudEventsVersion": form,
            "eventID": f"by-hand.{id}",
            "eventType": type,
            "source": source,
            "data": data,
        }
    return {"specversion": form, "id": f"by-hand.{id}", "type": type, "source": source, "data": data}


def content(folder):
    return {str(path.relative_to(folder)): read(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def state(path):
    return os.getxattr(path, "user.pacifica.state").decode()


@pytest.mark.parametrize("form", ["0.1", "1.0"])
def test_an_event_written_by_hand(mount, site, client, tmp_path, form):
    """A CloudEvent written to `events/` makes `events/EVENT-ID/` with its files."""
    id = client.upload(FILES)
    event = tmp_path / "event.json"
    event.write_text(json.dumps(ingest_event(site, id, FILES, form)))
    run("cp", "-p", event, mount.path / "site/events/")
    assert {f"by-hand.{id}", f"by-hand.{id}.json", "README.txt"} <= set(mount.ls("site/events"))
    folder = mount.path / "site/events" / f"by-hand.{id}"
    assert content(folder) == FILES
    assert json.loads((mount.path / f"site/events/by-hand.{id}.json").read_text()) == json.loads(event.read_text())
    assert os.stat(folder / "bar.bin").st_ino == os.stat(mount.path / f"site/transactions/{id}/bar.bin").st_ino


def test_the_information_of_a_transaction(mount, site, client, tmp_path):
    id = client.upload(FILES)
    answer = requests.get(f"{site.policy}/status/transactions/by_id/{id}", timeout=30)
    (tmp_path / "info.json").write_bytes(answer.content)
    run("rsync", "-a", tmp_path / "info.json", f"{mount.path}/site/events/")
    assert content(mount.path / "site/events" / f"transaction.{id}") == FILES


def test_a_bad_event_is_refused_at_close_with_its_reason(mount, tmp_path):
    target = mount.path / "site/events/bad.json"
    for data, reason in ((b"not json", "JSON"), (b'{"specversion": "1.0", "id": "x", "type": "t"}', "source")):
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, data)
        with pytest.raises(OSError) as caught:
            os.close(descriptor)
        assert caught.value.errno == errno.EINVAL
        note = mount.json("status/events/site.json")[0]
        assert (note["name"], note["state"]) == ("bad.json", "refused") and reason in note["reason"]
        assert "bad.json" not in mount.ls("site/events")


def test_what_events_refuses(mount):
    for act, error in (
        (lambda: os.mkdir(mount.path / "site/events/folder"), errno.EPERM),
        (lambda: os.symlink("x", mount.path / "site/events/link"), errno.EPERM),
        (lambda: os.mkdir(mount.path / "here/events"), errno.EROFS),
        (lambda: (mount.path / "site/new").write_text("x"), errno.EROFS),
    ):
        with pytest.raises(OSError) as caught:
            act()
        assert caught.value.errno == error


def test_the_site_tells_of_an_upload(mount, subscribed, client):
    """Listings are refreshed within a second of an event; what no rule names is not fetched."""
    files = FILES | {"bar.bin": os.urandom(200_000)}
    before = set(mount.ls("site/transactions"))
    new = str(client.upload(files))
    assert new not in before
    event = f"metadata.ingest.{new}"
    until("the event arrives", lambda: event in mount.ls("site/events"), 60)
    arrived = time.monotonic()
    until("it is listed", lambda: new in mount.ls("site/transactions"), 10)
    assert time.monotonic() - arrived < 5
    assert state(mount.path / "site/events" / event / "bar.bin") == "remote"
    assert content(mount.path / "site/events" / event) == files
    accepted = [note for note in mount.json("status/events/site.json") if note["id"] == event]
    assert accepted[0]["state"] == "accepted" and accepted[0]["files"] == len(FILES)


def test_rules_fetch_before_anybody_asks(mount, subscribed, client):
    """`prefetch = [...]` rules fetch matching transactions before anybody asks."""
    files = {"bar.bin": os.urandom(200_000), "a/b/foo.txt": os.urandom(10)}
    id = client.upload(files, [("Fetch", "now")])
    folder = mount.path / "site/events" / f"metadata.ingest.{id}"
    until("the event arrives", folder.is_dir, 60)
    until("it is here", lambda: state(folder / "bar.bin") == "cached" and state(folder / "a/b/foo.txt") == "cached", 60)


def test_a_request_with_a_bad_event_says_why(listener):
    answer = requests.post(listener, data=b'{"specversion": "1.0"}', timeout=30)
    assert answer.status_code == 400 and "id" in answer.text
    assert requests.get(listener, timeout=30).status_code == 200


def test_events_survive_restarts_also_of_the_mount_while_one_arrives(mount, listener, site, client):
    id = client.upload(FILES)
    before = set(mount.ls("site/events"))
    mount.stop()
    answers = []
    event = ingest_event(site, id, FILES)
    sender = threading.Thread(target=lambda: answers.append(requests.post(listener, json=event, timeout=90)))
    sender.start()
    mount.start()
    sender.join(60)
    assert [answer.status_code for answer in answers] == [204]
    assert before <= set(mount.ls("site/events"))
    assert content(mount.path / "site/events" / f"by-hand.{id}") == FILES
    (mount.path / f"site/events/by-hand.{id}.json").unlink()
    assert f"by-hand.{id}" not in mount.ls("site/events")
