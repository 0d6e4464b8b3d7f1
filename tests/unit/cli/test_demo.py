import io
import os

import pytest

from pacifica_fs.cli import transcript
from pacifica_fs.cli.output import Output
from pacifica_fs.cli.transcript import StepFailed, Transcript


@pytest.fixture
def told(tmp_path):
    stream = io.StringIO()
    return Transcript(tmp_path, Output(stream), transcript.environment()), stream


def test_a_command_is_shown_as_it_is_typed_and_really_run(told, tmp_path):
    t, stream = told
    (tmp_path / "a b").write_text("content\n")
    assert t.run("cat", "a b") == "content\n"
    assert stream.getvalue() == "$ cat 'a b'\n  content\n"


def test_the_program_itself(told):
    t, stream = told
    assert "pacifica-fs" in t.run("pacifica-fs", "--version")
    assert stream.getvalue().startswith("$ pacifica-fs --version\n")


def test_a_command_that_fails_ends_it(told):
    t, stream = told
    with pytest.raises(StepFailed, match="exit code 1"):
        t.run("cat", "nothing")
    assert "No such file or directory" in stream.getvalue()


def test_a_command_that_must_fail_and_does_not_ends_it_too(told):
    t, _ = told
    assert "No such file" in t.run("cat", "nothing", fails=True)
    with pytest.raises(StepFailed, match="exit code 0"):
        t.run("true", fails=True)


def test_a_program_that_is_not_installed(told):
    with pytest.raises(StepFailed, match="no-such-program is not installed"):
        told[0].run("no-such-program")


def test_a_command_that_hangs(told, monkeypatch):
    monkeypatch.setattr(transcript, "PATIENCE", 0.2)
    with pytest.raises(StepFailed, match="sleep did not end"):
        told[0].run("sleep", "30")


def test_checks_are_counted_and_what_does_not_hold_ends_it(told):
    t, stream = told
    t.check("one is one", True)
    t.check("so is this", lambda: True)
    assert t.checks == 2
    for wrong in (False, lambda: False, lambda: os.stat("/nonexistent")):
        with pytest.raises(StepFailed, match="it is so"):
            t.check("it is so", wrong)
    assert t.checks == 2
    assert stream.getvalue() == "  ok: one is one\n  ok: so is this\n"


def test_long_output_is_shortened_where_it_is_shown(told):
    t, stream = told
    assert len(t.run("seq", "100").splitlines()) == 100
    assert stream.getvalue().endswith("  24\n  … (76 more lines)\n")


def test_a_folder_in_use_is_not_taken(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").touch()
    result = run("demo", tmp_path / "mine")
    assert (result.exit_code, "not empty" in result.stderr) == (2, True)
    assert (tmp_path / "mine" / "precious").exists()
