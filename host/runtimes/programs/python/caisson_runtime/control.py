"""The control channel: JSON lines, both ways, on a descriptor that no child inherits."""

import fcntl
import json
import os
import resource
import select
import threading
from contextlib import contextmanager
from json import encoder

from caisson_runtime.interrupts import Interrupts, held

DESCRIPTOR = 3
# What the host accepts of one message (MAX_RUNTIME_MESSAGE_BYTES in wire/limits.ts), with some room.
MAX_LINE_BYTES = 31 * 1024 * 1024
# A longer line is worth a write of its own.
MAX_KEPT_BYTES = 16 * 1024

_json = json.JSONEncoder(allow_nan=False)
try:
    # What `_json.encode` makes anew each time. Nothing is looked for that contains itself: of nested values only their text is sent.
    _parts = encoder.c_make_encoder(None, _json.default, encoder.encode_basestring_ascii, None, ": ", ", ", False, False, False)
except TypeError:
    # It is Python's own business: another may have another, or none.
    _parts = _json.iterencode

# The host puts nothing around a request that would have to be looked for.
_decode = json.JSONDecoder().raw_decode


def out_of_the_way(descriptor):
    """A copy that programs do not meet which count on low numbers or close a range of them; as high as the limit of open files lets it be."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, min(200, most - 8))


class TooLarge(Exception):
    """A message that the host would not take."""


class Control:
    def __init__(self):
        """Without a descriptor: nobody is heard, and nothing is said."""
        self._descriptor = None
        self._unread = b""
        self._kept = b""
        self._lock = threading.Lock()
        # A fork of user code is not the runtime: it must not speak for it.
        os.register_at_fork(after_in_child=self._close)

    def take(self, descriptor=DESCRIPTOR):
        """Moves the channel out of the way, and speaks there from now on."""
        self._descriptor = out_of_the_way(descriptor)
        os.close(descriptor)
        return self

    def leave(self):
        self._close()
        self._unread = b""

    def _close(self):
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self._kept = b""

    @property
    def ours(self):
        """False in a process that user code forked."""
        return self._descriptor is not None

    @contextmanager
    def muted(self):
        """What is sent goes nowhere, by the same way."""
        heard, self._descriptor = self._descriptor, os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield
        finally:
            os.close(self._descriptor)
            self._descriptor = heard

    def send(self, message, with_next=False):
        """
        Returns the bytes of the line. Raises TooLarge, with nothing said. `with_next`: another message follows at once, and both go in one write: each wakes
        everybody on the way to the client.
        """
        line = "".join(_parts(message, 0)).encode("ascii") + b"\n"
        if len(line) > MAX_LINE_BYTES:
            raise TooLarge(len(line))
        if with_next and self._keep(line):
            return len(line)
        if Interrupts.allowed:
            with held():
                self._write(line)
        else:
            self._write(line)
        return len(line)

    def _write(self, line):
        with self._lock:
            whole, self._kept = self._kept + line, b""
            rest = memoryview(whole)
            while self._descriptor is not None and rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def _keep(self, line):
        """Whether there is room for it. An interrupt finds all of it kept, or nothing."""
        with self._lock:
            if len(self._kept) + len(line) > MAX_KEPT_BYTES:
                return False
            self._kept += line
            return True

    def next(self):
        """The next request, or None when the host is gone."""
        while b"\n" not in self._unread:
            more = os.read(self._descriptor, 1 << 16)
            if not more:
                return None
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return _decode(line.decode())[0]

    def interrupted(self, run):
        """Whether the host has taken this run back while the signal for it could not be heard yet."""
        while select.select([self._descriptor], [], [], 0)[0]:
            more = os.read(self._descriptor, 1 << 16)
            if not more:
                break
            self._unread += more
        return any(
            request.get("op") == "interrupt" and request.get("id") == run
            for request in map(json.loads, self._unread.split(b"\n")[:-1])
        )
