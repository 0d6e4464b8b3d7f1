"""A pretence of the rooms below, and a plain folder that looks like a mount."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pacifica_fs import config
from pacifica_fs.cli.main import cli
from pacifica_fs.cli.outside import MountPoint


class Time:
    """A clock that only `sleep` moves; `ticks` maps a number of sleeps to something that happens then."""

    def __init__(self):
        self.seconds = 1_800_000_000.0
        self.sleeps = 0
        self.events = {}

    def now(self):
        return self.seconds

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds
        self.sleeps += 1
        assert self.sleeps < 10_000, "this waits for ever"
        self.events.pop(self.sleeps, lambda: None)()


class Pretence:
    """An Outside without any room: what was asked of it is in `asked`."""

    def __init__(self, home: Path):
        self.clock = Time()
        self.environ = {"HOME": str(home), "PWD": str(home)}
        self.known = []
        self.journals = []
        self.asked = []
        self.findings = []
        self.clocks = {}
        self.error = None

    def mounts(self):
        return list(self.known)

    def of_url(self, url):
        return config.parse({"archives": {"there": {"kind": url.partition("+")[0], "url": url}}}, (url,))

    def unmount(self, path, lazy):
        self.asked.append(("unmount", path, lazy))
        if self.error:
            raise self.error

    def settle(self, spool, path, seconds):
        self.asked.append(("settle", spool, path))
        return True

    def uploads(self, spool):
        self.asked.append(("uploads", spool))
        return list(self.journals)

    def queue(self, spool, request):
        self.asked.append(("queue", spool, dict(request)))

    def start(self, arguments):
        self.asked.append(("start", list(arguments)))
        if self.error:
            raise self.error

    def serve(self, config, places, mountpoint, parsed, verbosity):
        self.asked.append(("serve", config, places, mountpoint, parsed, verbosity))
        if self.error:
            raise self.error

    def failed(self, message, code):
        self.asked.append(("failed", message, int(code)))

    def probe(self, config, places):
        return self.findings

    def skews(self, config):
        return self.clocks

    def dry_run(self, config, places, sidecar, archive):
        self.asked.append(("dry run", sidecar, archive))
        return self.findings


class FakeMount:
    """A folder with the files of a mount's status tree."""

    def __init__(self, path: Path):
        self.path = path
        (path / "status" / "uploads").mkdir(parents=True)
        (path / "status" / "archives").mkdir()
        (path / "drop").mkdir()
        self.write("downloads.json", [])
        self.write("cache.json", {"size": 0, "limit": 1 << 30, "files": 0, "hits": 0, "misses": 0})

    def write(self, name, value):
        target = self.path / "status" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # As in a mount, a file is there whole or not at all.
        aside = target.with_name(f".{target.name}.new")
        aside.write_text(json.dumps(value))
        aside.rename(target)

    def bundle(self, archive, name, state, **fields):
        fields = {"id": f"id-{name}", "files": 1, "bytes": 10, "updated": "2027-01-15T08:00:00Z", **fields}
        self.write(
            f"uploads/{archive}/{name}/status.json", {"archive": archive, "name": name, "state": state, **fields}
        )


@pytest.fixture
def outside(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return Pretence(home)


@pytest.fixture
def mount(tmp_path, outside):
    made = FakeMount(tmp_path / "mnt")
    outside.known.append(MountPoint(made.path, "pacifica-fs"))
    return made


@pytest.fixture
def run(outside, monkeypatch):
    """Runs a command line against the pretence; the result has exit_code, stdout and stderr."""
    monkeypatch.setattr("pacifica_fs.config.SYSTEM_FILE", Path("/nonexistent/config.toml"))

    def run(*words):
        result = CliRunner().invoke(cli, [str(word) for word in words], obj=outside)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert "Traceback" not in result.output
        return result

    return run
