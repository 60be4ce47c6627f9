"""A program, as `python FILE ARGS` runs it: a `__main__` of its own, its own arguments, an exit status."""

import builtins
import linecache
import os
import sys
import types
from contextlib import contextmanager

from caisson_runtime import failure
from caisson_runtime.frames import fitted_to_a_terminal

INTERRUPTED = 130


@contextmanager
def stage(path, args):
    """What a program finds: arguments, search path, and hooks as new. The context's own come back afterwards."""
    kept = (sys.argv, sys.path[0], sys.excepthook, sys.displayhook, sys.modules["__main__"])
    sys.argv = [path, *args]
    sys.path[0] = os.path.dirname(os.path.abspath(path)) if path not in ("-c", "-") else ""
    sys.excepthook, sys.displayhook = sys.__excepthook__, sys.__displayhook__
    try:
        yield
    finally:
        sys.argv, first, sys.excepthook, sys.displayhook, sys.modules["__main__"] = kept
        if sys.path:
            sys.path[0] = first
        else:
            sys.path.append(first)


def run(code, path):
    """Returns the exception that ended it, or None."""
    full = os.path.abspath(path)
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=full, __builtins__=builtins, __cached__=None)
    sys.modules["__main__"] = main
    # No time stamp: the text that runs is the one we were given, whatever lies on the disk.
    linecache.cache[full] = (len(code), None, code.splitlines(keepends=True), full)
    try:
        with fitted_to_a_terminal():
            exec(compile(code, full, "exec", dont_inherit=True), main.__dict__)
    except BaseException as error:
        return failure.clean(error)
    return None


def status(error):
    """Exit status for the exception that ended a program. What Python would print, it prints."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code & 0xFF
        sys.stderr.write("%s\n" % (error.code,))
        return 1
    failure.say(error)
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
