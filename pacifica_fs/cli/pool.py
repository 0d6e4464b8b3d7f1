"""Work on many files at once, told of one by one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(items: Sequence[T], work: Callable[[T], R], jobs: int) -> Iterator[tuple[T, R | Exception]]:
    """`work` of all items by `jobs` threads, begun in order; what it gave or raised, as it ends.

    Threads are not waited for where the caller stops before the end: a read that waits for a server may last.
    """
    todo: queue.SimpleQueue[T] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[T, R | Exception]] = queue.SimpleQueue()
    for item in items:
        todo.put(item)

    def run() -> None:
        while True:
            try:
                item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((item, work(item)))
            except Exception as error:  # noqa: BLE001 - handed to the caller
                done.put((item, error))

    for _ in range(min(jobs, len(items))):
        threading.Thread(target=run, daemon=True).start()
    try:
        for _ in items:
            yield done.get()
    finally:
        while not todo.empty():
            try:
                todo.get_nowait()
            except queue.Empty:
                break
