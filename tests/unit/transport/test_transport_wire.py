"""What has left this machine, and who hung up, on real connections."""

import os
import socket
import struct
import threading

import pytest

from pacifica_fs.errors import Unreachable, WaitTimeout
from pacifica_fs.transport.http import Http, Timeouts
from pacifica_fs.transport.retry import NEVER
from pacifica_fs.transport.wire import HungUp, Wire

MANY = 4 << 20


@pytest.fixture
def listener():
    """Keeps little of what is sent to it and not read."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener


@pytest.fixture
def pair(listener):
    """Two ends of a connection."""
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MANY)
    with ours, theirs:
        yield ours, theirs


def read(connection, size):
    while size:
        size -= len(connection.recv(min(size, 1 << 16)))


def wire(connection, patience=10.0):
    made = Wire(patience)
    made.opened(connection)
    return made


def test_it_returns_when_all_was_taken(pair):
    ours, theirs = pair
    ours.sendall(bytes(1 << 20))
    looks = []
    reader = threading.Thread(target=read, args=(theirs, 1 << 20))

    def meanwhile():
        looks.append(1)
        if len(looks) == 2:
            reader.start()

    wire(ours).settle(meanwhile)
    assert len(looks) >= 2, "it did not wait for who had not read"
    reader.join(10)


def test_nothing_written_is_nothing_to_wait_for(pair):
    wire(pair[0]).settle()
    Wire().settle()


def test_who_takes_nothing_is_not_waited_for_without_end(pair):
    ours, _ = pair
    ours.sendall(bytes(1 << 20))
    with pytest.raises(WaitTimeout, match="took nothing"):
        wire(ours, 0.1).settle()


@pytest.mark.parametrize("how", ["close", "reset", "answer"])
def test_who_hangs_up_or_answers_is_noticed(pair, how):
    ours, theirs = pair
    ours.sendall(bytes(1 << 20))
    if how == "answer":
        theirs.sendall(b"HTTP/1.1 413 Too large\r\n\r\n")
    else:
        if how == "reset":
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
    with pytest.raises(HungUp):
        wire(ours).settle()


class Body:
    """One piece, then the wait, then the end."""

    def __init__(self, wire, size):
        self.wire, self.size, self.ended = wire, size, False

    def __len__(self):
        return self.size + 3

    def __iter__(self):
        yield os.urandom(self.size)
        self.wire.settle()
        self.ended = True
        yield b"end"


def upload(url, clock, size=1 << 20):
    body = Body(Wire(), size)
    http = Http(url, clock=clock, retry=NEVER, timeouts=Timeouts(10, 10))
    try:
        return body, http.upload("/upload", body, expect=(200, 413), wire=body.wire)
    finally:
        http.close()


def test_an_upload_is_seen(serve, clock):
    def handle(request):
        size = int(request.headers["Content-Length"])
        assert request.rfile.read(size).endswith(b"end")
        request.send_response(200)
        request.send_header("Content-Length", "0")
        request.end_headers()

    with serve(handle) as url:
        body, answer = upload(url, clock)
        assert body.ended and answer.status == 200


def test_an_answer_before_the_end_is_read(serve, clock):
    def handle(request):
        request.send_response(413)
        request.send_header("Content-Length", "0")
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        # Closed with bytes unread it would be a reset, which may overtake the answer.
        request.rfile.read(1 << 20)

    with serve(handle) as url:
        body, answer = upload(url, clock)
        assert not body.ended and answer.status == 413


def test_a_server_that_hangs_up_before_the_end_is_an_outage(listener, clock):
    def serve_one():
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.close()

    server = threading.Thread(target=serve_one)
    server.start()
    with pytest.raises(Unreachable):
        upload(f"http://127.0.0.1:{listener.getsockname()[1]}", clock)
    server.join(10)
