"""Processes end with all that they started, and their ends are known."""

import os
import signal
import sys
import time

import pytest

from tests.servers.guard import runs, start_time
from tests.servers.process import NotReady, Process, free_ports, listening


@pytest.fixture
def process(tmp_path, guard):
    """A factory of shell scripts."""
    made = []

    def make(script):
        log = tmp_path / "log"
        env = {"PATH": os.environ["PATH"]}
        made.append(Process("script", ["sh", "-c", script], guard=guard, log=log, env=env, cwd=tmp_path))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.kill()


def soon():
    return time.monotonic() + 20


def test_kill_ends_the_children_too(process):
    one = process("sleep 1000 & echo child $!; wait")
    one.wait(lambda: "child" in one.output(), soon())
    child = int(one.output().split()[1])
    started = start_time(child)
    assert runs(child, started)
    one.kill()
    deadline = soon()
    while runs(child, started):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_children_do_not_survive_an_orderly_stop(process):
    one = process("sleep 1000 & echo child $!; trap 'exit 0' TERM; wait")
    one.wait(lambda: "child" in one.output(), soon())
    child = int(one.output().split()[1])
    started = start_time(child)
    one.stop()
    deadline = soon()
    while runs(child, started):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_ignores_a_stop_is_killed(process):
    one = process("trap '' TERM; echo up; while :; do sleep 1; done")
    one.wait(lambda: "up" in one.output(), soon())
    one.stop(timeout=0.1)
    assert not one.alive()


def test_an_early_end_shows_the_log(process):
    one = process("echo because; exit 3")
    with pytest.raises(NotReady, match=r"(?s)ended.*because"):
        one.wait(lambda: False, soon())


def test_join_gives_the_exit_code(process):
    assert process("exit 3").join(20) == 3
    one = process("sleep 1000")
    assert one.join(0.05) is None
    one.signal(signal.SIGTERM)
    assert one.join(20) == -signal.SIGTERM


def test_a_second_start_has_its_own_output(process):
    one = process("echo one")
    one.join(20)
    assert one.output() == "one\n"
    one.start()
    one.join(20)
    assert one.output() == "one\n"
    assert one.log.read_text() == "one\none\n"


def test_ports_are_free_and_differ(process):
    ports = free_ports(5)
    assert len(set(ports)) == 5 and not any(map(listening, ports))
    server = f"import socket, time; s = socket.create_server(('127.0.0.1', {ports[0]})); time.sleep(1000)"
    one = process(f'exec {sys.executable} -c "{server}"')
    one.wait(lambda: listening(ports[0]), soon())
