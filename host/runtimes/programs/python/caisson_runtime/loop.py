"""The loop of asyncio that cells share, and which cells want one."""

import re

# Words of a cell that may want one at all.
MAY_WANT_LOOP = re.compile("await|async|create_task|running_loop|current_task")
# Of one that needs a loop that runs, though it awaits nothing.
_WANTS_RUNNING = re.compile("create_task|running_loop|current_task")
# Of one that has asyncio run a loop.
_RUNS_ONE = ("run(", "run_until_complete(", "run_forever(", "Runner(")


def wants_running(cell):
    """What asks for a loop that runs has one, as a kernel of Jupyter's has one for all cells; what runs one of its own wants that there is none."""
    return _WANTS_RUNNING.search(cell) is not None and not any(run in cell for run in _RUNS_ONE)


class Loop:
    """Where a cell awaits: the loop that asyncio gives a cell that does not, so that what one begins another can wait for. (IPython's has one of its own.)"""

    # The last one.
    _kept = None

    def __call__(self, coroutine):
        return self.given().run_until_complete(coroutine)

    def given(self):
        """It, for whoever asks asyncio: asyncio.run() leaves none behind, and no other is made then."""
        import asyncio

        try:
            loop = asyncio.get_event_loop()
        except RuntimeError:
            loop = self._kept
        if loop is None or loop.is_closed():
            loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._kept = loop
        return loop
