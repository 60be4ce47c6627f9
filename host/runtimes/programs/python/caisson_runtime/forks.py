"""What a fork of the warmed interpreter is spared. A fork makes each page that it changes its own, and to run a line of Python changes several."""

import ctypes
import os
import random
import sys

# Python's and numpy's Mersenne Twister: 624 words, and which of them comes next.
_WORDS = 624
# What these want done at a fork concerns other threads, of which a zygote has none, and the generator, whose state is filled in.
_NEEDLESS = {"threading", "logging", "random", "concurrent.futures.thread"}


class Hooks:
    """Takes the place of `os.register_at_fork` while libraries are loaded. Forks that user code makes run all of them, and in their order."""

    def __init__(self):
        self._real = os.register_at_fork
        self.quiet = True

    def __enter__(self):
        os.register_at_fork = self._register

    def __exit__(self, *_raised):
        os.register_at_fork = self._real

    def _register(self, **hooks):
        self._real(**{when: self._unless_quiet(hook) if _module(hook) in _NEEDLESS else hook for when, hook in hooks.items()})

    def _unless_quiet(self, hook):
        return lambda: None if self.quiet else hook()


def _module(hook):
    return getattr(hook, "__module__", None) or type(getattr(hook, "__self__", None)).__module__


def states():
    """Where generators keep what all forks would have in common, as addresses and lengths: the zygote's library fills it with randomness in each
    fork. Raises where one is not laid out as known, for then it cannot be filled."""
    random.seed()
    found = [_state(id(random._inst) + object.__basicsize__ + 4, -4, random.getstate()[1][:_WORDS])]
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        # The legacy global generator, which scipy and scikit-learn use too. `default_rng` asks the kernel each time.
        numpy.random.seed()
        _, words, _, has_gauss, _ = numpy.random.get_state()
        if has_gauss:
            raise RuntimeError("numpy keeps a number that was drawn")
        found.append(_state(numpy.random.mtrand._rand._bit_generator.ctypes.state_address, 4 * _WORDS, words))
    return found


def _state(address, next_at, words):
    there = (ctypes.c_uint32 * _WORDS).from_address(address)
    # All of them are used up, so that the next one is made from what will be there.
    if ctypes.c_uint32.from_address(address + next_at).value != _WORDS or list(there) != list(map(int, words)):
        raise RuntimeError("a generator of random numbers is not laid out as this was written for")
    return address, 4 * _WORDS
