"""What a line of the log looks like, and how often it comes."""

import io
import json
import logging
import os

from pacifica_fs.service.log import Journal, Json, Repeats, to_journal


def record(message, *args, level=logging.WARNING, error=None):
    return logging.LogRecord("pacifica_fs.toy", level, "", 0, message, args, error)


def test_json():
    try:
        raise KeyError("oops")
    except KeyError as error:
        found = json.loads(Json().format(record("%d \u00fc", 7, error=(KeyError, error, error.__traceback__))))
    assert (found["level"], found["logger"], found["message"]) == ("warning", "pacifica_fs.toy", "7 \u00fc")
    assert "KeyError: 'oops'" in found["error"]
    assert found["time"].endswith("Z")


def test_the_journals_priority_is_before_each_line():
    assert Journal().format(record("a\nb", level=logging.ERROR)) == "<3>pacifica_fs.toy: a\n<3>b"
    assert Journal().format(record("a", level=logging.INFO)).startswith("<6>")


def test_the_journal_is_recognised(tmp_path):
    with open(tmp_path / "x", "w") as stream:
        state = os.fstat(stream.fileno())
        assert to_journal(stream, {"JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino}"})
        assert not to_journal(stream, {"JOURNAL_STREAM": "1:2"})
        assert not to_journal(stream, {})
    assert not to_journal(io.StringIO(), {})


def test_repetitions_are_counted_and_not_written():
    now = [0.0]
    repeats = Repeats(lambda: now[0])
    assert [repeats.filter(record("down: %s", "x")) for _ in range(3)] == [True, False, False]
    assert repeats.filter(record("down: %s", "y"))
    assert repeats.filter(record("debug", level=logging.DEBUG)) and repeats.filter(record("debug", level=logging.DEBUG))
    now[0] = 61.0
    again = record("down: %s", "x")
    assert repeats.filter(again)
    assert again.getMessage() == "down: x (and 2 times more before)"
    assert repeats.filter(record("down: %s", "y"))
    for number in range(5000):
        repeats.filter(record("number %d", number))
    assert len(repeats._seen) <= 1000
