import pytest

from pacifica_fs.transport.retry import NEVER, Retry, retry_after


def test_pauses_double_up_to_the_longest():
    retry = Retry(tries=10, budget=100)
    assert [retry.pause(n, 0, None, lambda: 0.5) for n in (1, 2, 3, 9)] == [0.2, 0.4, 0.8, 5.0]


def test_it_gives_up_after_its_tries_or_its_budget():
    assert Retry(tries=2).pause(2, 0, None) is None
    assert Retry(budget=10).pause(1, 9.95, None) is None
    assert Retry(budget=10).pause(1, 1, 9.5) is None
    assert NEVER.pause(1, 0, None) is None


@pytest.mark.parametrize(
    "value,seconds",
    [
        ("7", 7.0),
        (None, None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_retry_after(value, seconds):
    assert retry_after(value, now=10.0) == seconds
