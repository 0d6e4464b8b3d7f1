"""A MyTardis site through a kernel mount: what programs and people see."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import time

import pytest

from tests.mount.harness import COMMAND
from tests.servers.mytardis import FakeTardis, Site

pytestmark = [pytest.mark.mount, pytest.mark.timeout(120)]
ONE, TWO = "Cryo EM: run 12%2Fα_1", "Results & notes (final)_2"


@pytest.fixture
def tardis():
    with FakeTardis(hsm=True) as tardis:
        yield tardis


@pytest.fixture
def mount(mounted, tardis):
    return mounted({"archives": {"tardis": tardis.table(unverified="list")}})


def failure(path):
    try:
        path.read_bytes()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "none"


def test_a_days_work(mount, tardis, tmp_path):
    """cp, ls, getfattr; every file is that of its record; nothing is recalled from tape by the way."""
    folder = mount.path / "tardis" / ONE / TWO
    for id in (24, 25, 26, 27):  # what cannot be read is elsewhere today
        tardis.site.files[id].dataset = 3
    shutil.copytree(folder, tmp_path / "copy")
    for file in tardis.site.files.values():
        if file.dataset == 2 and (file.directory, file.filename) != ("x", "index") and file.id != 21:
            copied = tmp_path / "copy" / (file.directory or "").strip("/") / file.filename
            assert copied.read_bytes() == file.data, file.filename
    assert (tmp_path / "copy/x/index_18").read_bytes() == b"a file\n"
    assert (tmp_path / "copy/v/dup (version 1).txt").read_bytes() == b"first\n"
    plain = folder / "plain.txt"
    assert os.getxattr(plain, "user.pacifica.md5").decode() == hashlib.md5(b"plain\n").hexdigest()
    assert os.getxattr(plain, "user.pacifica.verified") == b"yes"
    assert os.getxattr(plain, "user.mime_type") == b"text/plain"
    assert os.getxattr(plain, "user.pacifica.state") == b"cached"
    assert plain.stat().st_mtime_ns == 1714943289123456000
    assert (mount.path / "tardis" / ONE).stat().st_mtime_ns == 1714943289123456000
    assert (mount.path / "tardis/1/2/plain.txt").samefile(plain)
    assert json.loads((mount.path / "tardis" / f"{ONE}.json").read_text())["authors"]
    assert not tardis.recalls


def test_each_state_has_its_error_and_its_reason(mount, tardis):
    folder = mount.path / "tardis" / ONE / TWO
    names = {entry.name for entry in folder.iterdir()}
    assert {"unverified.dat", "no-object.dat", "gone.dat", "tape.dat"} <= names
    assert failure(folder / "unverified.dat") == failure(folder / "no-object.dat") == "ENODATA"
    assert failure(folder / "tape.dat") == "ENOMEDIUM"
    assert failure(folder / "gone.dat") == "EIO"
    described = mount.path / "tardis" / "Only described_5" / "Described%2Fonly_5" / "described.dat"
    assert failure(described) == "EACCES"
    assert failure(mount.path / "tardis" / "Bob's own_3") == "EACCES"
    assert failure(mount.path / "tardis" / "nothing_99") == "ENOENT"
    reasons = {each["path"]: each["error"] for each in json.loads((mount.path / "status/downloads.json").read_text())}
    assert "no verified copy" in reasons["unverified.dat"]
    assert "pacifica-fs recall PATH" in reasons["tape.dat"]
    assert "may be gone" in reasons["gone.dat"]
    assert "only the description" in reasons["described.dat"]
    assert not tardis.recalls and not tardis.count("27/download")


def test_recall(mount, tardis):
    folder = mount.path / "tardis" / ONE / TWO

    def recall(*paths):
        command = [*COMMAND, "recall", *map(str, paths)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=mount.environment)

    done = recall(folder / "tape.dat", folder / "v")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tape.dat: its recall was requested" in done.stdout
    assert "1 requested, 2 not on tape, 0 failed" in done.stdout
    assert tardis.recalls == [27]
    tardis.site.files[27].offline = False
    end = time.monotonic() + 30
    while failure(folder / "tape.dat") != "none":
        assert time.monotonic() < end
        time.sleep(0.2)
    wrong = recall(mount.path / "README.txt", folder / "missing")
    assert wrong.returncode != 0 and "Traceback" not in wrong.stderr


def test_another_login_reads_nothing_that_was_fetched_for_the_first(mounted, tardis):
    """Its listing shows the same file, with the same digest; what its server gives is asked of the server."""
    path = "tardis/Open data_2"
    down = {"read_wait": "2s", "timeouts": {"connect": "1s", "read": "2s"}}
    mount = mounted({"archives": {"tardis": tardis.table("alice", **down)}})
    (file,) = [found for found in (mount.path / path).rglob("*") if found.is_file() and found.suffix != ".json"][:1]
    content = file.read_bytes()
    assert content and os.getxattr(file, "user.pacifica.digest")
    asked = tardis.count("/download/")
    assert mount.stop() == 0

    mount.configure({"archives": {"tardis": tardis.table("bob", **down)}})
    mount.start()
    assert os.getxattr(file, "user.pacifica.state") == b"remote" and file.stat().st_size == len(content)
    tardis.down()
    assert failure(file) not in ("none", "ENOENT"), "alice's copy is on this disk, and is not bob's"
    tardis.up()
    assert mount.stop() == 0
    mount.start()
    assert file.read_bytes() == content and tardis.count("/download/") > asked, "bob may read it: from the server"
    assert mount.stop() == 0

    mount.configure({"archives": {"tardis": tardis.table("alice", **down)}})
    mount.start()
    assert os.getxattr(file, "user.pacifica.state") == b"cached"
    tardis.down()
    assert file.read_bytes() == content, "who comes back finds their own, also offline"


def test_two_configurations_share_a_cache_and_no_content(mounted, tardis, tmp_path):
    def mount(who):
        return mounted(
            {"cache": {"path": str(tmp_path / "cache")}, "archives": {"tardis": tardis.table(who)}},
        )

    one, two = mount("alice"), mount("bob")
    (file,) = [
        each for each in (one.path / "tardis/Open data_2").rglob("*") if each.is_file() and each.suffix != ".json"
    ][:1]
    content = file.read_bytes()
    assert os.getxattr(file, "user.pacifica.state") == b"cached"
    same = two.path / file.relative_to(one.path)
    assert os.getxattr(same, "user.pacifica.state") == b"remote"
    assert same.read_bytes() == content
    end = time.monotonic() + 30
    while len(list((tmp_path / "cache/content/complete").glob("*/*"))) != 2:  # put there once it was read
        assert time.monotonic() < end
        time.sleep(0.05)


def test_wrong_credentials_are_seen_at_once(mounted, tardis):
    mount = mounted({"archives": {"tardis": tardis.table(api_key="wrong")}})
    with pytest.raises(PermissionError):
        os.listdir(mount.path / "tardis")
    end = time.monotonic() + 30
    while "archive tardis: " not in (log := mount.read("status/log").decode()):
        assert time.monotonic() < end, log
        time.sleep(0.1)
    assert "wrong credentials" in log
    assert "wrong credentials" in mount.json("status/archives/tardis.json")["error"]


def test_an_outage_is_no_empty_folder(mount, tardis):
    folder = mount.path / "tardis" / ONE
    before = sorted(os.listdir(folder))
    tardis.down()
    assert sorted(os.listdir(folder)) == before
    with pytest.raises(OSError) as caught:
        os.listdir(folder / "Raw frames_1")
    assert caught.value.errno == errno.EHOSTDOWN


PROVIDER = """
from pacifica_fs.transport.providers import OneByOne

class Noting(OneByOne):
    def __init__(self, context):
        self.log = context.options["log"]

    def download_datafiles(self, files):
        with open(self.log, "a") as log:
            print(*(file.id for file in files), file=log)
        yield from super().download_datafiles(files)

    def download_experiment(self, id, files):
        with open(self.log, "a") as log:
            print("experiment", id, len(files), file=log)
        yield from super().download_datafiles(files)

    def download_datafile(self, file, start=0):
        return Text(file.url.partition("://")[2].encode())

class Text:
    start, validator = 0, ""

    def __init__(self, data):
        self.data, self.size = data, len(data)

    def chunks(self):
        yield self.data

    def close(self):
        pass
"""


@pytest.fixture
def old_site():
    """60 files, a third of which the archive brings itself."""
    site = Site()
    site.user("alice")
    site.experiment("Old", "alice")
    site.dataset("first", 1)
    site.dataset("second", 1)
    for n in range(60):
        text = f"content of {n}".encode()
        protocol = ("note", "file", "up")[n % 3]
        site.file(1 + n // 50, "", f"{n:02}.txt", text, protocol=protocol, url=f"{protocol}://{text.decode()}")
    return site


def noting_mount(mounted, tardis, tmp_path):
    """A mount whose provider of two protocols notes in `asked` what it is asked for."""
    (tmp_path / "noting.py").write_text(PROVIDER)
    use = {"use": "noting:Noting", "log": str(tmp_path / "asked")}
    table = tardis.table(providers={"note": use, "up": use})
    return mounted(
        {"archives": {"tardis": table}},
        environment={"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )


def test_files_of_a_mixture_of_protocols_are_fetched_ahead_in_batches(mounted, tmp_path, old_site):
    with FakeTardis(old_site, old=True) as tardis:
        mount = noting_mount(mounted, tardis, tmp_path)
        folder = mount.path / "tardis/1/1"
        for n in range(50):
            assert (folder / f"{n:02}.txt").read_bytes() == f"content of {n}".encode()
    batches = [line.split() for line in (tmp_path / "asked").read_text().splitlines()]
    assert max(map(len, batches)) >= 4
    for batch in batches:
        assert len({(int(id) - 1) % 3 for id in batch}) == 1, "one provider's batch is of one protocol"


def test_fetch_of_an_experiment_goes_through_the_providers_hook_for_it(mounted, tmp_path, old_site):
    with FakeTardis(old_site, old=True) as tardis:
        mount = noting_mount(mounted, tardis, tmp_path)
        command = [*COMMAND, "fetch", str(mount.path / "tardis/Old_1")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=mount.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert {"experiment 1 20"} <= set((tmp_path / "asked").read_text().splitlines())
        assert (mount.path / "tardis/1/2/59.txt").read_bytes() == b"content of 59"
        assert os.getxattr(mount.path / "tardis/1/2/59.txt", "user.pacifica.state") == b"cached"
        with pytest.raises(OSError) as caught:
            os.setxattr(mount.path / "tardis/1", "user.pacifica.control", b"nonsense")
        assert caught.value.errno == errno.EINVAL


def test_fetch_of_a_list_goes_through_the_providers_hook_for_lists(mounted, tmp_path, old_site):
    """Whatever folders its files are in, and in whatever order."""
    with FakeTardis(old_site, old=True) as tardis:
        mount = noting_mount(mounted, tardis, tmp_path)
        root = mount.path / "tardis"
        wanted = [f"1/{1 + n // 50}/{n:02}.txt" for n in (57, 0, 33, 30, 6, 51, 1)]
        (tmp_path / "list").write_text("".join(f"{root}/{path}\n" for path in wanted))
        command = [*COMMAND, "fetch", "--from-file", str(tmp_path / "list")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=mount.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        batches = [set(line.split()) for line in (tmp_path / "asked").read_text().splitlines()]
        assert {"58", "1", "34", "31", "7", "52"} in batches
        assert {os.getxattr(root / path, "user.pacifica.state") for path in wanted} == {b"cached"}
        for wrong in (b"nonsense", b'{"do":"fetch"}', b'{"do":"fetch","files":[1]}'):
            with pytest.raises(OSError) as caught:
                os.setxattr(root, "user.pacifica.control", wrong)
            assert caught.value.errno == errno.EINVAL
        os.setxattr(root, "user.pacifica.control", b'{"do":"fetch","files":["../x","1/9/y","","README.txt"]}')
