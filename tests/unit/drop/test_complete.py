"""Who says that a bundle is complete; the clock is a number."""

from __future__ import annotations

import msgspec
import pytest

from pacifica_fs.drop.complete import Facts, Rules, decide, temporary

RULES = Rules(quiet=30, quiet_unmarked=900)
BASE = Facts(now=1000, changed=1000, last_data=1000)


def facts(**changes):
    return msgspec.structs.replace(BASE, **changes)


def test_commit_says_so_at_once():
    assert decide(facts(committed=True), RULES).seal


@pytest.mark.parametrize("what", ["opened", "temporary", "unclosed"])
def test_unfinished_files_hold_even_against_commit_and_are_named(what):
    decision = decide(facts(committed=True, now=99999, **{what: ("x.dat", "y.dat")}), RULES)
    assert not decision.seal and "x.dat" in decision.reason and "1 more" in decision.reason


def test_the_sidecars_own_list():
    waiting = decide(facts(listed=True, missing=("b.dat",), sidecar=1000, now=1e9), RULES)
    assert not waiting.seal and waiting.at is None and "b.dat" in waiting.reason
    assert decide(facts(listed=True, sidecar=1000), RULES).seal


def test_a_sidecar_after_the_last_file():
    marked = facts(sidecar=1000)
    assert decide(marked, RULES).at == 1030
    assert not decide(facts(sidecar=1000, now=1029.9), RULES).seal
    assert decide(facts(sidecar=1000, now=1030), RULES).seal


def test_a_sidecar_first_or_none():
    for sidecar in (None, 900.0):
        assert decide(facts(sidecar=sidecar, now=1899), RULES).at == 1900
        assert decide(facts(sidecar=sidecar, now=1900), RULES).seal


def test_at_least_four_times_the_longest_gap():
    """An instrument that writes a frame every 30 s is not cut in two by a network that paused for a minute."""
    slow = facts(sidecar=1000, gap=30)
    assert decide(slow, RULES).at == 1120
    assert decide(facts(gap=300), RULES).at == 2200


def test_what_cannot_be_taken_back_is_never_sealed_by_quiet():
    rules = Rules(30, 900, reversible=False)
    decision = decide(facts(sidecar=1000, now=1e9), rules)
    assert not decision.seal and ".commit" in decision.reason
    assert decide(facts(committed=True), rules).seal


def test_no_files():
    assert not decide(facts(data=False, sidecar=1000, now=1e9), RULES).seal


@pytest.mark.parametrize(
    "name",
    [
        ".a.dat.Xy12aB", "a.dat.part", "a.dat~", ".a.txt.swp", ".a.txt.swx", "4913", ".#a", "#a#", "x.crdownload",
        ".~lock.a.odt#", "~$a.docx", ".nfs0123456789abcdef0001", ".goutputstream-ABC", "sub/a.part", ".~tmp~/a.dat",
        "sub/.~tmp~/a.dat", ".rsync-partial/a.dat",
    ],
)  # fmt: skip
def test_temporary_names(name):
    assert temporary(name)


@pytest.mark.parametrize(
    "name", ["a.dat", "part", ".hidden", ".bashrc", "a.part.dat", "swap.sw", "ä b", ".a.b", "~", "a.part/b.dat"]
)
def test_names_that_are_not(name):
    assert temporary(name) == (name == "~")
