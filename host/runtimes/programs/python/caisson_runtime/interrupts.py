"""SIGINT means the code that runs, and nothing else."""

import signal
from _signal import SIGINT, signal as handle
from contextlib import contextmanager

# Not `signal.signal`: it looks each handler up among the names for handlers, and raises and swallows an error where that is a function.


def _nobody(_number, _frame):
    """Between runs there is nothing to interrupt. A handler and not SIG_IGN, which children would inherit."""


class Interrupts:
    def __init__(self):
        # What user code installs stays for its later runs.
        self._users = signal.default_int_handler
        self.forbid()

    def forbid(self):
        handle(SIGINT, _nobody)

    @contextmanager
    def allowed(self):
        handle(SIGINT, self._users)
        try:
            yield
        finally:
            self._users = handle(SIGINT, _nobody) or signal.default_int_handler


@contextmanager
def held():
    """Puts an interrupt off until the block is done: half a message would break the channel."""
    late = []
    try:
        before = handle(SIGINT, lambda *_: late.append(True))
    except ValueError:
        # Another thread than the main one: signals are not its business.
        yield
        return
    try:
        yield
    finally:
        handle(SIGINT, signal.SIG_DFL if before is None else before)
        if late:
            signal.raise_signal(SIGINT)
