"""One line per step: what holds, or what does not and why. A program that fails a step goes on with the next, and ends with 1."""

import inspect
import os
import sys
import textwrap
import time
import traceback
from contextlib import contextmanager

_held = 0
_failed = 0


def _report(what, failure=None):
    global _held, _failed
    if failure is None:
        _held += 1
        print(f"ok      {what}", flush=True)
    else:
        _failed += 1
        print(f"FAILED  {what}\n{textwrap.indent(failure, ' ' * 8)}", flush=True)


def step(what):
    """Runs the function below it at once."""

    def run(work):
        try:
            work()
            _report(what)
        except Exception:
            _report(what, traceback.format_exc())

    return run


async def async_step(what, work):
    try:
        await work()
        _report(what)
    except Exception:
        _report(what, traceback.format_exc())


def finish():
    """The last line of a program; one that never comes here has not run to its end."""
    print(f"{_held} held, {_failed} failed", flush=True)
    leave(1 if _failed else 0)


def leave(code):
    """
    Ends without taking the interpreter apart: native threads of the package's transport may still run then, and abort the process (before
    Python 3.14 such a thread is ended by an exception that no native frame expects). Nothing that a program has shown hangs on that.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def raises(kind, containing=""):
    """Holds the error in a list, for more questions."""
    caught = []
    try:
        yield caught
    except kind as error:
        assert containing in str(error), f"{type(error).__name__}: {error}"
        caught.append(error)
        return
    raise AssertionError(f"nothing was raised, where {kind} should have been")


def lines(output):
    """What a terminal shows, line by line; terminals end lines with both."""
    return b"".join(output).decode().replace("\r", "\n").split("\n")


def eventually(what, check, seconds=20):
    """Waits until `check` gives something true, and gives that back. The bound is against hanging, not a promise."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


async def async_eventually(what, check, seconds=20):
    import asyncio

    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        await asyncio.sleep(0.05)
