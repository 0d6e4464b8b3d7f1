import errno
import json
import os
import re

import pytest

from pacifica_fs import config
from pacifica_fs.cli import examine, findings
from pacifica_fs.cli.findings import Finding
from pacifica_fs.config import Places


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text(f'[drop]\npath = "{tmp_path}/state"\nmin_free = 0\n[cache]\npath = "{tmp_path}/cache"\nlimit = 0\n')
    return path


@pytest.fixture
def fuse(monkeypatch):
    """FUSE as it should be, wherever the tests run."""
    monkeypatch.setattr(examine, "fuse", lambda allow_other: [findings.ok("FUSE", "fine")])


def test_all_is_well(run, outside, file, fuse, tmp_path):
    outside.findings = [findings.ok("archive here", "local, reached as uid 0")]
    result = run("check", "-c", file)
    assert result.exit_code == 0
    assert f"ok      configuration: {file}: here (local)" in result.stdout
    assert f"ok      spool: {tmp_path}/state: " in result.stdout
    assert "ok      archive here: local, reached as uid 0" in result.stdout


def test_what_is_wrong_has_a_remedy_and_the_exit_code_1(run, outside, file, fuse):
    outside.findings = [findings.wrong("archive emsl", "out of reach", "Check the address.")]
    result = run("check", "-c", file)
    assert result.exit_code == 1
    assert "wrong   archive emsl: out of reach\n        Check the address.\n" in result.stdout
    assert re.search(r"1 of \d+ checks found something wrong", result.stdout)


def test_json_is_the_same_for_scripts(run, outside, file, fuse):
    outside.findings = [findings.wrong("archive emsl", "out of reach", "Check the address.")]
    result = run("check", "--json", "-c", file)
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert found[-1] == {
        "subject": "archive emsl", "level": "wrong", "text": "out of reach", "remedy": "Check the address.",
    }  # fmt: skip
    assert {"configuration", "FUSE", "limits", "spool", "cache"} <= {each["subject"] for each in found}
    outside.findings = []
    assert run("check", "--json", "-c", file).exit_code == 0


def test_the_clock_and_the_mount_point_are_part_of_it(run, outside, file, fuse, tmp_path):
    outside.clocks = {"policy.example.org": 4000.0}
    result = run("check", "-c", file, "-m", tmp_path / "mnt")
    assert result.exit_code == 1
    assert "this machine's clock is 4000 s behind that of policy.example.org" in result.stdout
    assert f"{tmp_path}/mnt does not exist\n        Run: mkdir {tmp_path}/mnt" in result.stdout


def test_a_remark_is_not_an_error(run, outside, file, fuse):
    outside.findings = [findings.remark("x", "slow", "Wait.")]
    assert run("check", "-c", file).exit_code == 0


def test_a_configuration_that_cannot_be_read(run, tmp_path):
    assert run("check", "-c", tmp_path / "no.toml").exit_code == 2


def test_an_archive_that_cannot_be_built(run, outside, file, fuse, monkeypatch):
    def broken(settings, places):
        raise config.ConfigError("site.toml: [archives.x]: unknown kind 'pacifco'")

    monkeypatch.setattr(outside, "probe", broken)
    result = run("check", "-c", file)
    assert (result.exit_code, "unknown kind 'pacifco'" in result.stdout) == (1, True)


def test_no_configuration_at_all_is_a_remark(outside):
    found = examine.configuration(config.parse({}), outside.environ)
    assert (found.level, "so this is the default: here (local)" in found.text) == ("remark", True)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_secret_that_others_can_read(tmp_path, mode):
    file = tmp_path / "c.toml"
    file.write_text('[archives.x]\nkind = "pacifica"\nauth = { type = "basic", password = "secret" }\n')
    file.chmod(mode)
    [found] = examine.secrets(config.load(file))
    assert (found.level, "archives.x.auth.password stands in a file that others can read" in found.text) == (
        "wrong",
        True,
    )
    assert "secret" not in found.text.replace("archives.x.auth.password", "")
    assert f"chmod 600 {file}" in found.remedy
    file.chmod(0o600)
    assert examine.secrets(config.load(file)) == []


def test_no_secret_no_finding(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('[archives.x]\nkind = "pacifica"\nauth = { type = "basic", username = "me" }\n')
    file.chmod(0o644)
    assert examine.secrets(config.load(file)) == []


def levels(found):
    return [each.level for each in found]


def test_fuse_device_missing(tmp_path):
    found = examine.fuse(False, tmp_path / "fuse")
    assert (found[0].level, "modprobe fuse" in found[0].remedy) == ("wrong", True)


def test_fuse_device_closed(tmp_path, monkeypatch):
    device = tmp_path / "fuse"
    device.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = examine.fuse(False, device)
    assert (found[0].level, f"chmod 666 {device}" in found[0].remedy) == ("wrong", True)


def test_fuse_library_and_helper_missing(tmp_path, monkeypatch):
    device = tmp_path / "fuse"
    device.touch()
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = examine.fuse(False, device)
    assert levels(found) == ["ok", "wrong", "wrong"]
    assert ["fuse3" in each.remedy for each in found[1:]] == [True, True]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert levels(examine.fuse(False, device)) == ["ok", "wrong", "remark"]


def test_allow_other_needs_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    conf = tmp_path / "fuse.conf"
    conf.write_text("# user_allow_other\n")
    assert levels(examine.fuse(True, tmp_path, conf))[-1] == "wrong"
    conf.write_text("user_allow_other\n")
    assert "wrong" not in levels(examine.fuse(True, tmp_path, conf)[3:])


def test_folders_that_are_not_there_yet_are_judged_by_what_is_above(tmp_path):
    settings = config.parse({"drop": {"min_free": 0}, "cache": {"limit": 0}})
    found = examine.folders(settings, Places(tmp_path / "a" / "b", tmp_path / "c"))
    assert levels(found) == ["ok", "ok"]
    assert not (tmp_path / "a").exists(), "a check makes nothing"


def test_a_full_disk(tmp_path):
    settings = config.parse({"drop": {"min_free": 1 << 60}, "cache": {"limit": 1 << 60}})
    spool, cache = examine.folders(settings, Places(tmp_path, tmp_path))
    assert (spool.level, "less than [drop] min_free" in spool.text) == ("wrong", True)
    assert (cache.level, "Lower [cache] limit" in cache.remedy) == ("remark", True)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    found = examine.folders(config.parse({}), Places(tmp_path / "file", tmp_path / "file" / "x"))
    assert levels(found) == ["wrong", "wrong"]


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    spool, _ = examine.folders(config.parse({}), Places(tmp_path, tmp_path))
    assert (spool.level, "[drop] path" in spool.remedy) == ("wrong", True)


def test_a_folder_on_a_dead_disk(tmp_path, monkeypatch):
    def dead(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(examine, "_writable", dead)
    assert levels(examine.folders(config.parse({}), Places(tmp_path, tmp_path))) == ["wrong", "wrong"]


class TestSidecar:
    def test_the_only_archive(self, run, outside, file, tmp_path):
        outside.findings = [Finding("m", "ok", "here would take it")]
        assert run("check", "-c", file, tmp_path / "metadata.json").exit_code == 0
        assert outside.asked == [("dry run", tmp_path / "metadata.json", "here")]

    def test_several_archives(self, run, outside, tmp_path):
        file = tmp_path / "two.toml"
        file.write_text('[archives.a]\nkind = "local"\n[archives.b]\nkind = "local"\n')
        result = run("check", "-c", file, "m.json")
        assert (result.exit_code, "say with --archive" in result.stderr) == (2, True)
        run("check", "-c", file, "m.json", "--archive", "b")
        assert outside.asked[0][2] == "b"

    def test_archive_alone(self, run, file):
        assert run("check", "-c", file, "--archive", "here").exit_code == 2

    def test_problems(self, run, outside, file):
        outside.findings = [findings.wrong("m.json", "no project", "Add one.")]
        assert run("check", "-c", file, "m.json").exit_code == 1
