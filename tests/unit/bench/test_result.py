"""The figures of a benchmark: medians, ratios and goals."""

import json

import pytest
from rich.console import Console

from bench import __main__ as command
from bench.result import Result, show, write

FAST = Result("read", "s", [1.0, 3.0, 2.0], "peer", [2.0, 2.0, 4.0], goal=1.3)
SLOW = Result("late", "ms", [30.0, 25.0], goal=20, absolute=True, note="busy")


def test_ratios_are_of_medians():
    assert (FAST.median, FAST.peer_median, FAST.ratio, FAST.reached) == (2.0, 2.0, 1.0, True)
    assert (SLOW.median, SLOW.peer_median, SLOW.ratio, SLOW.reached) == (27.5, None, None, False)
    assert Result("x", "s", [1.0]).reached is None
    assert Result("x", "s", [3.0], "p", [2.0], goal=1.3).reached is False


def test_the_table_and_the_file_have_all(tmp_path):
    with (tmp_path / "out").open("w") as out:
        show([FAST, SLOW], Console(file=out, width=200))
    text = (tmp_path / "out").read_text()
    assert "≤ 1.3 × yes" in text and "≤ 20 ms no" in text and "1.00" in text and "busy" in text
    write([FAST, SLOW], tmp_path / "new" / "r.json", (0.0, 0.0, 0.0), quick=True)
    document = json.loads((tmp_path / "new" / "r.json").read_text())
    assert [r["median"] for r in document["results"]] == [2.0, 27.5]
    assert document["results"][0]["samples"] == [1.0, 3.0, 2.0] and document["quick"] and document["machine"]


def test_a_measurement_that_fails_is_told_and_the_others_are_made(monkeypatch, tmp_path, capsys):
    def broken(bench):
        yield FAST
        raise RuntimeError("no")

    monkeypatch.setitem(command.SUITES, "main", {"a": broken, "b": lambda bench: [SLOW]})
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["bench", "main", "--json", str(tmp_path / "r.json"), "--folder", str(tmp_path)])
    assert command.main() == 1
    captured = capsys.readouterr()
    assert "read" in captured.out and "late" in captured.out and "could not be measured: a" in captured.err
    assert len(json.loads((tmp_path / "r.json").read_text())["results"]) == 2
    assert not list(tmp_path.glob("pacifica-bench-*"))


def test_unknown_measurements_are_refused(monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench", "main", "nosuch"])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 2
