"""A warmed interpreter that forks itself into sandboxes: zygote.py LIBRARY.

Everything that user code is likely to import has been imported before the first fork, and every path that a first run takes has been walked, so
that a fork shares those pages instead of making its own. The library (native/zygote) takes the requests and forks; the call returns only
in a child, which is inside its sandbox by then: descriptor 0 is /dev/null, 1 and 2 are pipes, 3 is the control channel.

Two things are the same in all forks, because they are fixed when an interpreter starts: the layout of its address space and the secret of its string hashes.
"""

import os
import sys
from contextlib import contextmanager

# Threads do not survive a fork, and these libraries start theirs when they are loaded.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[_name] = "1"
# Named, or matplotlib makes a folder of its own and every child tries to remove it at its end.
os.environ["MPLCONFIGDIR"] = "/tmp/.matplotlib"
sys.dont_write_bytecode = True

LISTENER = 3
USER_NAMESPACE = 4
# What a fork is (native/zygote/src/lib.rs).
WANTED, SPARE = 0, 1
# What scripts ask for most; those that are not installed are left out.
WARM = (
    "asyncio", "base64", "collections", "csv", "dataclasses", "datetime", "decimal", "functools", "glob", "hashlib", "io", "itertools", "json",
    "logging", "math", "multiprocessing", "pathlib", "pickle", "random", "re", "secrets", "shutil", "statistics", "string", "subprocess", "tempfile",
    "textwrap", "threading", "time", "typing", "urllib.parse", "urllib.request", "uuid", "warnings", "zipfile", "concurrent.futures.thread",
    "numpy", "numpy.linalg", "numpy.random", "pandas", "matplotlib", "matplotlib.pyplot", "PIL.Image", "PIL.PngImagePlugin",
)  # fmt: skip


def main(library):
    # The package stays known by its own path, when the folder of this file goes: user code must not find modules there by chance.
    import caisson_runtime  # noqa: F401

    sys.path.pop(0)
    import ctypes

    nursery = ctypes.PyDLL(library)
    _arenas(ctypes, nursery)
    import gc
    import importlib

    from caisson_runtime import forks, rehearsal

    hooks = forks.Hooks()
    with hooks:
        for name in WARM:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as missing:
                if missing.name != name.split(".")[0]:
                    raise

        importlib.import_module("caisson_runtime.runtime")
        importlib.import_module("caisson_runtime.installed")
        control, installed, runtime = caisson_runtime.control, caisson_runtime.installed, caisson_runtime.runtime
        warmed, channel = runtime.Runtime(), control.Control()
        warmed.warm(rehearsal.whole())
        with _pipes():
            warmed.warm_serving(channel)
    idle_ms = int(os.environ["CAISSON_ZYGOTE_IDLE_MS"])
    _close_fonts()
    for address, length in forks.states():
        if nursery.caisson_zygote_fill(ctypes.c_void_p(address), ctypes.c_size_t(length)) != 0:
            sys.exit("zygote: the library has no room for another generator")
    # Looked up before the fork: ctypes makes an object of each name when it is asked for the first time.
    after_fork, enter = ctypes.pythonapi.PyOS_AfterFork_Child, nursery.caisson_zygote_enter
    # Forks are given theirs: to take away what is there would cost each of them pages.
    environment = dict(os.environ)
    os.environ.clear()
    gc.collect()
    gc.freeze()
    ctypes.pythonapi.PyOS_BeforeFork()
    answer = nursery.caisson_zygote_serve(LISTENER, USER_NAMESPACE, idle_ms)
    if answer not in (WANTED, SPARE):
        sys.exit("zygote: the library refused its descriptors")
    # The wall is being built meanwhile.
    after_fork()
    hooks.quiet = False
    if answer == SPARE:
        # Nobody waits yet: the pages that a first run changes become its own here.
        with _pipes():
            warmed.warm_serving(channel, 1)
    warmed.renew()
    if enter() != 0:
        sys.exit("zygote: there was no way in")
    installed.adopt(environment)
    warmed.serve(channel.take())


def _arenas(ctypes, nursery):
    """From here on, small objects lie side by side (native/zygote/src/arenas.rs)."""

    class Allocator(ctypes.Structure):
        _fields_ = [(name, ctypes.c_void_p) for name in ("context", "allocate", "free")]

    functions = (ctypes.cast(function, ctypes.c_void_p) for function in (nursery.caisson_zygote_arena, nursery.caisson_zygote_arena_free))
    ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(Allocator(None, *functions)))


@contextmanager
def _pipes():
    """In the place of standard output and error: what is opened on them meanwhile is what a fork needs."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    read, write = os.pipe()
    for number, _ in kept:
        os.dup2(write, number)
    try:
        yield
    finally:
        for number, original in kept:
            os.dup2(original, number)
        for descriptor in (read, write, *(original for _, original in kept)):
            os.close(descriptor)


def _close_fonts():
    """matplotlib keeps the files of fonts open, and descriptors do not come along."""
    fonts = sys.modules.get("matplotlib.font_manager")
    if fonts is not None:
        fonts._get_font.cache_clear()


# Not left for user code, which would take it for an argument of its own.
main(sys.argv.pop())
