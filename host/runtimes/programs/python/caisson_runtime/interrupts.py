"""SIGINT means the code that runs, and nothing else."""

import signal
from _signal import SIGINT, signal as handle
from contextlib import contextmanager

# Not `signal.signal`: it looks each handler up among the names for handlers, and raises and swallows an error where that is a function. Each change of a
# handler is a call of the kernel, which behind gVisor or in an emulated machine is what a short run is made of: there is none that is not needed.


class Interrupts:
    allowed = False

    def __init__(self):
        # What user code installs stays for its later runs.
        self._users = signal.default_int_handler
        self._came_early = False
        handle(SIGINT, self._nobody)

    def _nobody(self, _number, _frame):
        """Between runs there is nothing to interrupt. A handler and not SIG_IGN, which children would inherit."""
        self._came_early = True

    def allow(self):
        """Whether one has come before this, which may mean the run that begins."""
        Interrupts.allowed = True
        handle(SIGINT, self._users)
        early, self._came_early = self._came_early, False
        return early

    def forbid(self):
        """What was allowed no longer is. A second time: nothing."""
        before = handle(SIGINT, self._nobody)
        Interrupts.allowed = False
        if before != self._nobody:
            self._users = before or signal.default_int_handler


@contextmanager
def held():
    """Puts an interrupt off until the block is done: half a message would break the channel."""
    if not Interrupts.allowed:
        yield
        return
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
