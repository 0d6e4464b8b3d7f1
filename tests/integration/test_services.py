"""The rig's own Pacifica site is one: what its seed says holds, uploads come back, and services can be taken away."""

import io
import itertools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.servers.guard import runs, start_time
from tests.servers.pacifica import seed
from tests.servers.pacifica.client import Client, Failed, write_bundle

pytestmark = pytest.mark.pacifica
FILES = {"run 1/raw/spectrum.bin": os.urandom(200_000), "run 1/notes é.txt": b"smoke\n", "top.txt": b"", "data/x": b"x"}


def test_upload_and_read_back_through_a_cart(pacifica_site):
    client = Client(pacifica_site, project="Étude-7", instrument=2003)
    transaction = client.upload(FILES, [("Sample", "silicon")])
    assert transaction > seed.RESERVED_IDS
    assert client.download(transaction) == FILES


def test_the_seed_gives_the_rights_that_it_lists(pacifica_site):
    everything = itertools.product(seed.LOGONS, seed.PROJECTS, seed.INSTRUMENTS)
    accepted = [(user, *pair) for user, pairs in seed.ACCEPTED.items() for pair in sorted(pairs)]
    refused = [c for c in everything if c not in accepted][::5]
    combinations = accepted + refused

    def wrong(combination):
        user, project, instrument = combination
        return Client(pacifica_site, *combination).allowed() != ((project, instrument) in seed.ACCEPTED[user])

    with ThreadPoolExecutor(4) as pool:
        found = [c for c, w in zip(combinations, pool.map(wrong, combinations), strict=True) if w]
    assert not found


def test_the_server_refuses_a_stranger(pacifica_site):
    with pytest.raises(Failed, match="Policy Validation"):
        Client(pacifica_site, user=seed.STRANGER).upload({"a": b"a"})


def test_archive_interface_and_hash_proxy_give_the_bytes(pacifica_site):
    client = Client(pacifica_site)
    content = os.urandom(5000)
    (row,) = client.files(client.upload({"a": content}))
    whole = client.call("GET", f"{pacifica_site.archive_interface}/{row['_id']}", 200).content
    ranged = client.call("GET", f"{pacifica_site.archive_interface}/{row['_id']}?byte_range=2-7", 200).content
    hashed = client.call("GET", f"{pacifica_site.files_by_hash}/files/sha1/{row['hashsum']}", 200).content
    assert (whole, ranged, hashed) == (content, content[2:7], content)
    assert (pacifica_site.archive_folder).is_dir()


def test_the_official_client_uploads(pacifica_site, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.txt").write_text("by pacifica-cli")
    state = pacifica_site.cli_upload(tmp_path / "run")
    assert (state["state"], state["task"]) == ("OK", "ingest metadata")
    assert Client(pacifica_site).download(state["job_id"]) == {"run/a.txt": b"by pacifica-cli"}


def test_a_stopped_service_refuses_and_comes_back(pacifica_faults):
    pacifica_faults.stop("policy")
    assert not pacifica_faults.alive("policy")
    with pytest.raises(requests.ConnectionError):
        Client(pacifica_faults).allowed()
    pacifica_faults.start("policy")
    assert Client(pacifica_faults).allowed()


def test_without_its_worker_a_job_waits_and_then_goes_on(pacifica_faults):
    pacifica_faults.stop("ingest-worker")
    client = Client(pacifica_faults)
    bundle = io.BytesIO()
    write_bundle(bundle, {"a": b"late"}, client.header)
    job = client.post(bundle.getvalue())
    with pytest.raises(Failed, match="is not done"):
        client.finished(job, timeout=0.3)
    pacifica_faults.start("ingest-worker")
    assert client.finished(job, timeout=30) == job


@pytest.mark.parametrize("name", ["metadata", "cart-worker", "archive", "postgres", "redis"])
def test_a_killed_program_can_be_started_again(pacifica_faults, name):
    pid = pacifica_faults.pid(name)
    pacifica_faults.kill(name)
    assert not Path(f"/proc/{pid}").exists()
    pacifica_faults.restore()
    client = Client(pacifica_faults)
    assert client.download(client.upload({"after": name.encode()})) == {"after": name.encode()}


@pytest.mark.timeout(300)  # a dozen programs start and end, one after the other
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_site_whose_owner_ends(pacifica_site, how, tmp_path):
    with (tmp_path / "out").open("w+") as out:
        owner = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.pacifica"], stdout=out, start_new_session=True, preexec_fn=deaf
        )
    try:
        until(lambda: "# uniqueid" in (tmp_path / "out").read_text(), 90)
        folder = (tmp_path / "out").read_text().partition("; logs ")[2].partition("/logs;")[0]
        programs = {pid: start_time(pid) for pid in processes_with(folder)}
        assert len(programs) >= 10
        os.kill(owner.pid, how)
        owner.wait(timeout=120)
    finally:
        owner.kill()  # the guard ends the rest
        owner.wait(timeout=30)
    until(lambda: not Path(folder).exists(), 30)
    until(lambda: not [pid for pid, started in programs.items() if runs(pid, started)], 10)


def deaf():
    """As a shell starts what runs in its background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def until(condition, timeout):
    """Wait for something outside of this process."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.05)


def processes_with(text):
    """Processes that have `text` in their arguments or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (process / "cmdline").read_bytes() + (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            pass
    return found
