"""What every thread of this daemon is doing right now, for `status/threads` and bug reports."""

from __future__ import annotations

import sys
import threading
import traceback


def stacks() -> str:
    """The Python stack of each thread, by name; frames are places in the program, without any values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sorted(sys._current_frames().items()):
        lines = "".join(traceback.format_stack(frame))
        parts.append(f"thread {names.get(ident, 'of libfuse')} ({ident})\n{lines}")
    return "\n".join(parts)
