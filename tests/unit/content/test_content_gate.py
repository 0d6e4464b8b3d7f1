"""How many may wait: 256, and a few more for files that are not known to hang."""

from contextlib import ExitStack

import pytest

from pacifica_fs.content.gate import Gate
from pacifica_fs.errors import TooBusy


def test_the_limit_holds_for_what_is_hopeless():
    gate = Gate(2, spare=1)
    with gate.place(lambda: True), gate.place(lambda: True):
        with pytest.raises(TooBusy), gate.place(lambda: True):
            pass
        assert gate.waiting == 2
    assert gate.waiting == 0


def test_spare_places_are_for_others_and_bounded_too():
    gate = Gate(1, spare=1)
    with gate.place(lambda: True), gate.place(lambda: False) as spare:
        spare.keep()
        with pytest.raises(TooBusy), gate.place(lambda: False):
            pass
        assert gate.waiting == 2


def test_who_has_a_spare_place_goes_when_the_file_turns_out_to_hang():
    gate = Gate(1, spare=1)
    hopeless = []
    with gate.place(lambda: True) as first:
        with gate.place(lambda: bool(hopeless)) as spare:
            hopeless.append(True)
            first.keep()
            with pytest.raises(TooBusy):
                spare.keep()
        assert gate.waiting == 1


def test_a_spare_place_becomes_an_ordinary_one_when_others_leave():
    gate = Gate(1, spare=1)
    hopeless = []
    with ExitStack() as first:
        first.enter_context(gate.place(lambda: True))
        with gate.place(lambda: bool(hopeless)) as spare:
            first.close()
            spare.keep()
            hopeless.append(True)
            spare.keep()
