"""What `pacifica-fs install` writes, and that it takes it away again."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pacifica_fs.cli import placing
from pacifica_fs.cli.main import cli
from pacifica_fs.cli.manual import pages


@pytest.fixture
def run(outside):
    def call(*words, code=0):
        done = CliRunner().invoke(cli, ["install", *map(str, words)], obj=outside)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.output
        return done.output

    return call


def found(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_all_is_put_below_the_prefix_and_taken_away(run, tmp_path):
    prefix = tmp_path / "usr"
    run("--prefix", prefix)
    names = found(prefix)
    assert "sbin/mount.pacifica-fs" in names and "lib/systemd/system/pacifica-fs@.service" in names
    assert "lib/systemd/user/pacifica-fs.service" in names and "share/man/man1/pacifica-fs-mount.1" in names
    assert "share/man/man8/mount.pacifica-fs.8" in names
    assert {"bash", "zsh", "fish"} == {
        part.split("/")[1].split("-")[0] for part in names if "complet" in part or "zsh" in part
    }
    assert (prefix / "sbin/mount.pacifica-fs").stat().st_mode & 0o777 == 0o755
    before = {name: (prefix / name).read_bytes() for name in names}
    run("--prefix", prefix)  # again: the same
    assert {name: (prefix / name).read_bytes() for name in found(prefix)} == before
    (prefix / "share/man/man1/other.1").write_text("somebody else's")
    run("--prefix", prefix, "--remove")
    assert found(prefix) == ["share/man/man1/other.1"]


def test_dry_run_writes_nothing_and_says_the_same(run, tmp_path):
    prefix = tmp_path / "usr"
    said = run("--prefix", prefix, "--dry-run")
    assert not prefix.exists()
    written = [line for line in run("--prefix", prefix).splitlines() if line.startswith("write ")]
    assert [line for line in said.splitlines() if line.startswith("write ")] == written
    assert sorted(line.removeprefix(f"write {prefix}/") for line in written) == found(prefix)


def test_a_user_needs_no_root(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run("--user")
    names = found(tmp_path)
    assert ".config/systemd/user/pacifica-fs.service" in names
    assert not [name for name in names if "mount.pacifica-fs" in name and "man8" not in name]
    run("--user", "--remove")
    assert found(tmp_path) == []


def test_removing_leaves_configuration_cache_and_spool(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    kept = [
        ".config/pacifica-fs/config.toml",
        ".local/state/pacifica-fs/spool/bundles/1/files/a",
        ".cache/pacifica-fs/x",
    ]
    for name in kept:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("precious")
    run("--user")
    run("--user", "--remove")
    assert found(tmp_path) == sorted(kept)


def test_the_helper_runs(run, tmp_path):
    run("--prefix", tmp_path)
    done = subprocess.run([tmp_path / "sbin/mount.pacifica-fs", "--help"], capture_output=True, text=True, timeout=60)
    assert "pacifica-fs" in done.stdout + done.stderr


def test_units_start_the_program_and_are_what_systemd_expects(run, tmp_path):
    program = tmp_path / "bin/pacifica-fs"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    run("--prefix", tmp_path, "--program", program)
    units = [*tmp_path.glob("lib/systemd/system/*.service")]
    assert units
    for unit in units:
        assert f"ExecStart={program} " in unit.read_text()
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    for unit in units:
        instance = unit.with_name(unit.name.replace("@.", "@site."))
        instance.write_bytes(unit.read_bytes())
        done = subprocess.run([analyze, "verify", "--man=no", instance], capture_output=True, text=True, timeout=60)
        words = [line for line in done.stderr.splitlines() if unit.name.split("@")[0] in line]
        assert not words, done.stderr


@pytest.mark.parametrize("name", sorted(pages(cli)))
def test_man_pages_have_their_parts_and_no_mistakes(name):
    text = pages(cli)[name]
    assert text.startswith(".TH ") and ".SH NAME\n" in text and ".SH SYNOPSIS\n" in text and ".SH DESCRIPTION\n" in text
    assert not [line for line in text.splitlines() if line.startswith("'")]
    if shutil.which("groff"):
        done = subprocess.run(
            ["groff", "-man", "-ww", "-z", "-Tutf8", "-K", "utf8"],
            input=text,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0 and not done.stderr, done.stderr


def test_every_command_has_a_page_with_its_options():
    made = pages(cli)
    context = click.Context(cli, info_name="pacifica-fs")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        text = made[f"pacifica-fs-{name}.1"]
        for param in command.get_params(context):
            for option in param.opts if isinstance(param, click.Option) and not param.hidden else ():
                assert option.replace("-", "\\-") in text, (name, option)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('PRUNEFS = "NFS nfs4"\nX=1\n', 'PRUNEFS = "NFS nfs4 fuse.pacifica-fs"\nX=1\n'),
        ("PRUNEFS=NFS\n", "PRUNEFS=NFS fuse.pacifica-fs\n"),
        ("# nothing\n", "# nothing\n"),
    ],
)
def test_locate_is_told_once_and_asked_to_forget(before, after):
    assert placing.pruned(before) == after
    assert placing.pruned(after) == after
    assert placing.pruned(after, remove=True) == before


def test_a_mount_point_that_swallows_nothing(run, tmp_path):
    point = tmp_path / "srv"
    try:
        said = run("--mount-point", point)
        assert "0000" in said and stat.S_IMODE(point.stat().st_mode) == 0
        if "cannot make it immutable" not in said:
            with pytest.raises(OSError):
                (point / "file").write_text("lost")
    finally:
        run("--mount-point", point, "--remove")
    assert stat.S_IMODE(point.stat().st_mode) == 0o755
    (point / "file").write_text("kept")
    assert "not empty" in run("--mount-point", point, code=1)
    assert os.listdir(point) == ["file"]


def test_contradictions_are_refused(run, tmp_path):
    assert "--user or --prefix" in run("--user", "--prefix", tmp_path, code=2)
    assert Path(tmp_path).exists()
