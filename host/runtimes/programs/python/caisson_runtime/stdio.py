"""Standard output and error of the code that runs."""

import builtins
import contextlib
import functools
import io
import os
import sys

from caisson_runtime.control import out_of_the_way


_print = builtins.print


class _Stream(io.TextIOWrapper):
    """One of the two."""


@functools.wraps(_print)
def _print_whole(*values, sep=" ", end="\n", file=None, flush=False):
    # Python's own writes each value and the end by itself, and each would be a message.
    stream = sys.stdout if file is None else file
    if type(stream) is not _Stream or not (sep is None or isinstance(sep, str)) or not (end is None or isinstance(end, str)):
        return _print(*values, sep=sep, end=end, file=file, flush=flush)
    stream.write((" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end))
    if flush:
        stream.flush()


class Stdio:
    """Write-through: what was written has left this process before any control line that follows it.

    Python's own `-u` does the same; a buffer between would let results overtake the text printed before them.
    """

    def __init__(self):
        self._kept = {}
        self._open("stdout", 1)
        self._open("stderr", 2)
        builtins.print = _print_whole

    def keep(self):
        """The descriptors are what they are to be: they are found again here."""
        self._kept = {number: out_of_the_way(number) for number in (1, 2)}
        self._known = {number: _identity(number) for number in (1, 2)}

    def leave(self):
        for kept in self._kept.values():
            os.close(kept)
        self._kept = {}

    def _open(self, name, number):
        raw = io.FileIO(number, "w", closefd=False)
        stream = _Stream(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
        stream.mode = "w"
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)

    @contextlib.contextmanager
    def hushed(self):
        """What is said goes nowhere, by the same way."""
        heard, known, null = self._kept, self._known, os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._kept, self._known = dict.fromkeys(heard, null), dict.fromkeys(heard, _identity(null))
        try:
            for number in heard:
                os.dup2(null, number)
            yield
        finally:
            self._kept, self._known = heard, known
            for number, kept in heard.items():
                os.dup2(kept, number)
            os.close(null)

    def mend(self):
        """Undoes what earlier code did to the descriptors themselves. A replaced `sys.stdout` is state, and stays; a closed one does not."""
        for name, number in (("stdout", 1), ("stderr", 2)):
            if _identity(number) != self._known[number]:
                os.dup2(self._kept[number], number)
                self._known[number] = _identity(number)
            if _is_closed(getattr(sys, name, None)):
                self._open(name, number)


def flush():
    """For streams that user code put in place of ours."""
    for stream in (sys.stdout, sys.stderr):
        if type(stream) is _Stream and stream.write_through:
            continue
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            # It is not ours, and may be anything.
            continue


def _is_closed(stream):
    try:
        return getattr(stream, "closed", True)
    except ValueError:
        # Its buffer was detached.
        return True


def _identity(number):
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino
