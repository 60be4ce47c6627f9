"""What an exception of user code looks like to the user: none of the frames that brought the code to run."""

import errno
import inspect
import json
import os
import re
import sys
import traceback
import types
from contextlib import suppress

import IPython
from IPython.core.error import UsageError

# Whole frames of these folders are left out, wherever they are in the traceback.
_OURS = (os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep, os.path.dirname(os.path.abspath(IPython.__file__)) + os.sep)
# What IPython calls a cell, as Python shows it.
_CELL = re.compile('File "<ipython-input-([0-9]+)-[0-9a-f]+>"')
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
    """The exception, those that led to it, and those that it is a group of."""
    links, next_ones = [], [error]
    while next_ones and len(links) < _MAX_CHAIN:
        error = next_ones.pop(0)
        if error is None or any(error is link for link in links):
            continue
        links.append(error)
        next_ones.append(error.__cause__ or (None if error.__suppress_context__ else error.__context__))
        if isinstance(error, BaseExceptionGroup):
            next_ones += error.exceptions
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


def told(shell, error, ran):
    """As IPython tells it. `ran`: of a syntax error, that it is not of the cell itself but of something that the cell has read."""
    kind = type(error)
    if isinstance(error, SyntaxError):
        lines = shell.SyntaxTB.structured_traceback(kind, error, traceback.extract_tb(error.__traceback__) if ran else [])
    elif isinstance(error, (UsageError, SystemExit)) or error.__traceback__ is None:
        return "%s: %s" % (kind.__name__, error) if str(error) else kind.__name__
    elif any(isinstance(link, (BaseExceptionGroup, KeyboardInterrupt)) for link in chain(error)):
        # IPython says of a group how many are in it, and not which; and it reads each file on the way, for which who was interrupted has no time.
        return _CELL.sub(r"Cell In[\1]", plain(error))
    elif hasattr(error, "_render_traceback_"):
        lines = error._render_traceback_()
    else:
        of_no_module(error)
        lines = shell.InteractiveTB.structured_traceback(kind, error, error.__traceback__)
    return "\n".join(map(str, lines or ()))


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
