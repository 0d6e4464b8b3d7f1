"""The same folder again and again, files without a folder, and who is told; through a kernel mount."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.mount, pytest.mark.timeout(120)]


def rsync(source: Path, target: Path) -> list[str]:
    """What `rsync -a` copied."""
    done = subprocess.run(
        ["rsync", "-a", "--itemize-changes", f"{source}/", str(target)],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return [line.split(" ", 1)[1] for line in done.stdout.splitlines() if line.startswith((">f", "<f"))]


def archived(mount) -> list[str]:
    """Every file of every transaction, as often as it is there."""
    transactions = mount.path / "here/transactions"
    return sorted(path.name for path in transactions.rglob("*") if path.is_file() and path.parent != transactions)


def settle(mount, name="run"):
    (mount.path / "drop/here" / name / ".commit").touch()
    return mount.wait_state(name, "done", 60)


def test_a_days_folder_every_hour(mounted, tmp_path):
    """A frame more each time, and the names are no longer shown, so all is copied again: each is archived once."""
    mount = mounted({"drop": {"quiet": "1h", "quiet_unmarked": "1h", "keep_done": "1s"}})
    source = tmp_path / "day"
    source.mkdir()
    (source / "metadata.json").write_text('{"keys": {"Tag": "day"}}')
    target = mount.path / "drop/here/run"
    frames = []
    for hour in range(4):
        frames.append(f"frame{hour}")
        (source / frames[-1]).write_bytes(os.urandom(1000))
        deadline = time.monotonic() + 30
        while target.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert set(rsync(source, target)) == {*frames, "metadata.json"}
        assert {one["path"] for one in settle(mount)["left_out"]} == set(frames[:-1])
        if hour == 1:
            mount.stop()
            mount.start()
        assert archived(mount) == frames


def test_a_second_rsync_of_what_is_done_copies_nothing(mounted, tmp_path):
    mount = mounted({"drop": {"quiet": "1h", "quiet_unmarked": "1h"}})
    source = tmp_path / "day"
    (source / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        (source / name).write_text(name)
    target = mount.path / "drop/here/run"
    rsync(source, target)
    settle(mount)
    assert rsync(source, target) == []
    mount.kill9()
    mount.start()
    assert rsync(source, target) == []
    (source / "a").write_text("another")
    assert rsync(source, target) == ["a"]
    settle(mount)
    assert archived(mount) == ["a", "a", "b"]


def test_files_without_a_folder(mounted, tmp_path):
    here = {"kind": "local", "path": str(tmp_path / "archive"), "single_files": True}
    mount = mounted({"drop": {"quiet": "1s", "quiet_unmarked": "1h"}, "archives": {"here": here}})
    (tmp_path / "scan.raw").write_bytes(b"scan")
    (tmp_path / "scan.raw.metadata.json").write_text('{"keys": {"Tag": "single"}}')
    for name in ("scan.raw", "scan.raw.metadata.json"):
        subprocess.run(["cp", "-p", tmp_path / name, mount.path / "drop/here/"], check=True, timeout=30)
    number = mount.wait_state("scan.raw", "done", 60)["transaction"]
    assert (mount.path / f"here/transactions/{number}/scan.raw").read_bytes() == b"scan"
    assert "single" in (mount.path / f"here/transactions/{number}.json").read_text()
    assert sorted(os.listdir(mount.path / "drop/here")) == ["scan.raw", "scan.raw.metadata.json"]


def test_who_is_told(mounted, tmp_path):
    told = tmp_path / "told"
    command = ["sh", "-c", f"cat >> '{told}'; echo >> '{told}'"]
    mount = mounted({"drop": {"quiet": "1h", "on_state": command}})
    folder = mount.path / "drop/here/run"
    folder.mkdir()
    (folder / "a").write_text("a")
    (folder / "metadata.json").write_text('{"keys": ')
    (folder / ".commit").touch()
    mount.wait_state("run", "held", 60)
    lines(told, 1)
    (folder / "metadata.json").write_text('{"keys": {"Tag": "first"}}')
    (folder / ".commit").touch()
    mount.wait_state("run", "done", 60)
    events = lines(told, 2)
    assert [event["type"].rpartition(".")[2] for event in events] == ["held", "done"]
    assert events[0]["data"]["problems"] and events[1]["data"]["transaction"] == "1"
    mount.stop()
    mount.start()
    assert len(lines(told, 2)) == 2


def lines(file: Path, number: int) -> list[dict]:
    """The events, once there are so many."""
    deadline = time.monotonic() + 30
    while len(found := file.read_text().splitlines() if file.exists() else []) < number:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [json.loads(line) for line in found]
