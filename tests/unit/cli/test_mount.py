import errno
from pathlib import Path

import pytest

from pacifica_fs.cli import mount_helper
from pacifica_fs.cli.codes import Exit, Failed
from pacifica_fs.cli.options import Parsed
from pacifica_fs.errors import NoSpace, PacificaFSError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text('[archives.here]\nkind = "local"\n')
    return path


def test_background_starts_a_daemon_with_absolute_paths(run, outside, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("mount", "-c", "site.toml", "-o", "allow_other", "-o", "nosuid", "-vv", "m")
    assert (result.exit_code, result.output) == (0, "")
    options = f"nosuid,allow_other,fsname={file}"
    expected = ["-m", "pacifica_fs", "mount", "-f", "-c", str(file), "-vv", "-o", options, "--", str(tmp_path / "m")]
    assert outside.asked == [("start", expected)]


def test_the_daemon_understands_what_it_is_started_with(run, outside, file, tmp_path):
    run("mount", "-c", file, "-o", "allow_other,uid=5", tmp_path / "m")
    [(_, words)] = outside.asked
    outside.asked.clear()
    assert run(*words[2:]).exit_code == 0
    [(what, config, _, mountpoint, parsed, verbosity)] = outside.asked
    assert (what, mountpoint, verbosity) == ("serve", tmp_path / "m", 0)
    assert parsed == Parsed(None, True, str(file), 5)
    assert config.archives[0].name == "here"


def test_without_a_configuration_there_is_the_local_archive(run, outside, tmp_path):
    assert run("mount", "-f", tmp_path / "m").exit_code == 0
    [(_, config, places, _, parsed, _)] = outside.asked
    assert [(each.name, each.kind) for each in config.archives] == [("here", "local")]
    assert places.state == Path(outside.environ["HOME"]) / ".local/state/pacifica-fs"
    assert parsed.fsname == "pacifica-fs"


@pytest.mark.parametrize("foreground", [(), ("-f",)])
def test_a_bad_configuration_is_one_sentence(run, tmp_path, foreground):
    bad = tmp_path / "bad.toml"
    bad.write_text("[drop]\nquit = 3\n")
    result = run("mount", *foreground, "-c", bad, tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"pacifica-fs: {bad}: [drop]: unknown key 'quit'; did you mean 'quiet'?\n"


@pytest.mark.parametrize(
    "content", ["[drop", "[archives.x]\nkind = 3\n", '[cache]\nlimit = "many"\n', "[archives.drop]\n"]
)
def test_no_configuration_makes_a_traceback(run, tmp_path, content):
    bad = tmp_path / "bad.toml"
    bad.write_text(content)
    result = run("mount", "-c", bad, tmp_path)
    assert result.exit_code == 2
    assert str(bad) in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_missing_configuration(run, tmp_path):
    result = run("mount", "-c", tmp_path / "no.toml", tmp_path)
    assert (result.exit_code, "no.toml: cannot be read" in result.stderr) == (2, True)


def test_configuration_given_twice(run, file, tmp_path):
    assert run("mount", "-c", file, "-o", f"config={file}", tmp_path).exit_code == 0
    result = run("mount", "-c", file, "-o", "config=/other.toml", tmp_path)
    assert (result.exit_code, "contradict" in result.stderr) == (2, True)


def test_the_daemons_words_and_code_reach_the_terminal(run, outside, tmp_path):
    outside.error = Failed("/m: not empty; mount on an empty folder", Exit.FAILED)
    result = run("mount", tmp_path)
    assert (result.exit_code, result.stderr) == (1, "pacifica-fs: /m: not empty; mount on an empty folder\n")


@pytest.mark.parametrize(("error", "code"), [(NoSpace("the disk is full"), 1), (PacificaFSError("x"), 1)])
def test_a_daemon_tells_its_parent_why_it_ends(run, outside, tmp_path, error, code):
    outside.error = error
    assert run("mount", "-f", tmp_path).exit_code == code
    assert outside.asked[-1] == ("failed", str(error), code)


def test_a_bug_in_the_daemon_is_told_too(run, outside, tmp_path):
    outside.error = ZeroDivisionError("oops")
    with pytest.raises(ZeroDivisionError):
        run("mount", "-f", tmp_path)
    assert outside.asked[-1][0] == "failed"
    assert "oops" in outside.asked[-1][1]


def test_an_unforeseen_os_error_is_one_sentence(run, outside, tmp_path):
    outside.error = OSError(errno.EMFILE, "Too many open files", "/x")
    result = run("mount", tmp_path)
    assert (result.exit_code, result.stderr) == (1, "pacifica-fs: /x: Too many open files\n")


@pytest.mark.parametrize(
    "words", [("mount",), ("mount", "--nonsense", "x"), ("fly",), ("wait", "--timeout", "soon", "x")]
)
def test_bad_usage(run, words):
    assert run(*words).exit_code == 2


class TestHelper:
    """`mount.pacifica-fs`, as mount(8) calls it."""

    def test_fstab(self, outside, file, tmp_path):
        code = mount_helper.run([str(file), str(tmp_path), "-n", "-o", "rw,noauto,_netdev,allow_other"], outside)
        assert code == 0
        [(what, words)] = outside.asked
        assert what == "start"
        assert words[-1] == str(tmp_path)
        assert words[words.index("-o") + 1] == f"allow_other,fsname={file}"
        assert words[words.index("-c") + 1] == str(file)

    @pytest.mark.parametrize("source", ["none", "default", "pacifica-fs"])
    def test_default_configuration(self, outside, tmp_path, source, monkeypatch):
        monkeypatch.setattr("pacifica_fs.config.SYSTEM_FILE", Path("/nonexistent/config.toml"))
        assert mount_helper.run([source, str(tmp_path), "-t", "fuse.pacifica-fs"], outside) == 0
        [(_, words)] = outside.asked
        assert "-c" not in words
        assert words[words.index("-o") + 1] == f"fsname={source}"

    def test_fake_checks_but_does_not_mount(self, outside, file, tmp_path):
        assert mount_helper.run([str(file), str(tmp_path), "-f"], outside) == 0
        assert mount_helper.run([str(file), str(tmp_path), "-f", "-o", "ro"], outside) == 1
        assert outside.asked == []

    def test_sloppy(self, outside, file, tmp_path):
        assert mount_helper.run([str(file), str(tmp_path), "-o", "strange"], outside) == 1
        assert mount_helper.run([str(file), str(tmp_path), "-s", "-o", "strange"], outside) == 0

    @pytest.mark.parametrize("words", [[], ["one"], ["a", "b", "c"], ["a", "b", "-q"]])
    def test_usage(self, outside, words, capsys):
        assert mount_helper.run(words, outside) == 1
        assert "usage: mount.pacifica-fs CONFIG DIR" in capsys.readouterr().err

    def test_failures_have_mounts_own_codes(self, outside, file, tmp_path, capsys):
        outside.error = Failed("not empty", Exit.FAILED)
        assert mount_helper.run([str(file), str(tmp_path)], outside) == 32
        outside.error = KeyboardInterrupt()
        assert mount_helper.run([str(file), str(tmp_path)], outside) == 8
        assert mount_helper.run([str(tmp_path / "no.toml"), str(tmp_path)], outside) == 1
        assert "mount.pacifica-fs: not empty" in capsys.readouterr().err
