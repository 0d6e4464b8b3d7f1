"""The last lines of the log, for `status/log`."""

import logging
import threading

import pytest

from pacifica_fs.service import log
from pacifica_fs.service.log import Tail, configure


@pytest.fixture(autouse=True)
def untouched():
    """The program's logger as it was."""
    logger = logging.getLogger(log.ROOT)
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield logger
    for handler in logger.handlers:
        if handler not in before[0]:
            handler.close()
    logger.handlers[:], logger.level, logger.propagate = before


def test_the_tail_keeps_the_last_lines(untouched):
    tail = Tail(3)
    logger = logging.getLogger("toy")
    logger.addHandler(tail)
    try:
        for number in range(5):
            logger.warning("line %d", number)
    finally:
        logger.removeHandler(tail)
    lines = tail.text().splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["line 2", "line 3", "line 4"]
    assert "WARNING toy" in lines[0]
    assert Tail().text() == ""


def test_a_traceback_is_kept_too():
    tail = configure(False)
    try:
        raise KeyError("oops")
    except KeyError:
        logging.getLogger("pacifica_fs.toy").exception("it happened")
    assert "it happened" in tail.text() and "KeyError: 'oops'" in tail.text()


def test_many_threads_write_while_one_reads():
    tail = Tail(50)
    logger = logging.getLogger("toy")
    record = logger.makeRecord("toy", logging.INFO, "", 0, "x", None, None)
    threads = [threading.Thread(target=lambda: [tail.emit(record) for _ in range(300)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        assert all(line.endswith(": x") for line in tail.text().splitlines())
    for thread in threads:
        thread.join()
    assert len(tail.text().splitlines()) == 50


@pytest.mark.parametrize(("verbosity", "shown"), [(0, False), (1, False), (2, True)])
def test_how_much_is_logged(verbosity, shown, capsys):
    tail = configure(True, verbosity)
    logging.getLogger("pacifica_fs.toy").debug("detail")
    logging.getLogger("pacifica_fs.toy").info("message")
    logging.getLogger("elsewhere").warning("not ours")
    assert ("detail" in tail.text()) is shown
    assert "message" in tail.text() and "not ours" not in tail.text()
    assert "message" in capsys.readouterr().err


def test_in_the_background_it_goes_to_the_tail_alone(capsys):
    tail = configure(False)
    logging.getLogger("pacifica_fs.toy").warning("again")
    assert "again" in tail.text()
    assert capsys.readouterr().err == ""


def test_configuring_twice_does_not_log_twice(capsys):
    configure(True)
    configure(True)
    logging.getLogger("pacifica_fs.toy").warning("once")
    assert capsys.readouterr().err.count("once") == 1


def test_the_http_library_does_not_warn_of_many_connections(untouched):
    library = logging.getLogger("urllib3.connectionpool")
    before = library.level
    try:
        configure(True)
        assert not library.isEnabledFor(logging.WARNING) and library.isEnabledFor(logging.ERROR)
    finally:
        library.setLevel(before)
