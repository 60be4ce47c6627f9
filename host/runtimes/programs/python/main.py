"""A Python runtime that starts by itself: main.py [MODULE...], to be imported before anybody asks for them.

(One that is forked from a warmed process starts in zygote.py.)
"""

import importlib
import sys

sys.dont_write_bytecode = True

from caisson_runtime import control  # noqa: E402


def main():
    # The folder of this file: user code must not find modules there by chance.
    sys.path.pop(0)
    channel = control.Control().take()
    try:
        import IPython  # noqa: F401
    except ImportError:
        channel.send({
            "type": "failed",
            "code": "LANGUAGE_UNAVAILABLE",
            "message": "there is no IPython for %s; use the template code-interpreter" % sys.executable,
        })
        sys.exit(1)
    from caisson_runtime.runtime import Runtime

    runtime = Runtime()
    for name in sys.argv[1:]:
        try:
            importlib.import_module(name)
        except ImportError:
            # Who wants it will be told.
            pass
    del sys.argv[1:]
    runtime.stands_alone()
    runtime.serve(channel)


main()
