"""SIGINT means the code that runs, and nothing else."""

import signal
from contextlib import contextmanager


def _nobody(_number, _frame):
    """Between runs there is nothing to interrupt. A handler and not SIG_IGN, which children would inherit."""


class Interrupts:
    def __init__(self):
        # What user code installs stays for its later runs.
        self._users = signal.default_int_handler
        self.forbid()

    def forbid(self):
        signal.signal(signal.SIGINT, _nobody)

    @contextmanager
    def allowed(self):
        signal.signal(signal.SIGINT, self._users)
        try:
            yield
        finally:
            self._users = signal.signal(signal.SIGINT, _nobody) or signal.default_int_handler


@contextmanager
def held():
    """Puts an interrupt off until the block is done: half a message would break the channel."""
    late = []
    try:
        before = signal.signal(signal.SIGINT, lambda *_: late.append(True))
    except ValueError:
        # Another thread than the main one: signals are not its business.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if late:
            signal.raise_signal(signal.SIGINT)
