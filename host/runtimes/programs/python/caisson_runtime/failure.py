"""What an exception of user code looks like to the user: none of the frames that brought the code to run."""

import errno
import inspect
import json
import os
import sys
import traceback
import types
from contextlib import suppress

import IPython

# Whole frames of these folders are left out, wherever they are in the traceback.
_OURS = (os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep, os.path.dirname(os.path.abspath(IPython.__file__)) + os.sep)
MAX_TRACEBACK = 256 * 1024
# Programs carry answers out of a sandbox as the text of an exception. In one message, with the rest of it (MAX_LINE_BYTES in control.py).
MAX_VALUE_BYTES = 16 * 1024 * 1024
_MAX_CHAIN = 32


def clean(error):
    """Takes the frames out, of the exceptions that led to this one too."""
    for link in chain(error):
        link.__traceback__ = _users(link.__traceback__)
    return error


def chain(error):
    """The exception and those that led to it."""
    links = []
    while error is not None and not any(error is link for link in links) and len(links) < _MAX_CHAIN:
        links.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return links


def of_no_module(error):
    """
    Says to `inspect` that the files of its frames which are no files belong to no module. It would go through all modules there are to find that out, several
    times for each frame: milliseconds, and seconds after a recursion without an end.
    """
    for link in chain(error):
        for name in {frame.f_code.co_filename for frame, _ in traceback.walk_tb(link.__traceback__)}:
            if name.startswith("<"):
                inspect.modulesbyfile.setdefault(name, "")
                with suppress(FileNotFoundError):
                    inspect.modulesbyfile.setdefault(os.path.abspath(name), "")


def _users(entry):
    entries = []
    while entry is not None:
        if not entry.tb_frame.f_code.co_filename.startswith(_OURS):
            entries.append(entry)
        entry = entry.tb_next
    kept = None
    for entry in reversed(entries):
        kept = types.TracebackType(kept, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return kept


def message(error, text):
    """The shape of the wire."""
    try:
        # Of a syntax error, str() names the file too: in a cell that is a made-up name.
        value = "%s (line %s)" % (error.msg, error.lineno) if isinstance(error, SyntaxError) else str(error)
    except Exception:
        # A __str__ of user code.
        value = "<unprintable %s>" % type(error).__name__
    return {"name": type(error).__name__, "value": value if _is_short(value) else _bounded(value), "traceback": _bounded(text)}


def plain(error):
    """As Python itself prints it."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def say(error):
    """As Python does with an exception that nobody caught."""
    if sys.excepthook is sys.__excepthook__:
        # Python's own reads the source from the disk only, where it need not be.
        sys.stderr.write(plain(error))
    else:
        sys.excepthook(type(error), error, error.__traceback__)


def filled_disk(error):
    """Whether it says that a disk had no room left."""
    return any(isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT) for link in chain(error))


def _is_short(value):
    return len(value) <= MAX_TRACEBACK or len(json.dumps(value)) <= MAX_VALUE_BYTES


def _bounded(text):
    if len(text) <= MAX_TRACEBACK:
        return text
    half = MAX_TRACEBACK // 2
    return "%s\n[... %d characters left out ...]\n%s" % (text[:half], len(text) - 2 * half, text[-half:])
