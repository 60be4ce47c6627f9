"""The end of a program, as Python has it: threads are waited for, then the exit handlers run. The process lives on."""

import atexit
import sys
import threading


def wind_up():
    # Pools let go of their threads first, as in threading._shutdown; later programs need these callbacks again.
    for callback in reversed(getattr(threading, "_threading_atexits", [])):
        callback()
    while waiting := [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]:
        for thread in waiting:
            thread.join()
    atexit._run_exitfuncs()
    for name, flag in (("concurrent.futures.thread", "_shutdown"), ("concurrent.futures.process", "_global_shutdown")):
        if name in sys.modules:
            setattr(sys.modules[name], flag, False)
