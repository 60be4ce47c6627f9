"""What somebody has installed in this sandbox (templates/ground.py), for a process that was warmed up before there was a sandbox."""

import os
import site
import sys

OWN = "/opt/caisson/python"
BROUGHT = "/caisson/python"
MAIN = "/caisson/runtimes/python/main.py"


def adopt(environment):
    """Called once, in a fresh fork: from then on it is an interpreter of that environment. What was warmed up and is there in another version is
    loaded anew, by starting again, with those variables; then this does not return."""
    try:
        _adopt(environment)
    except OSError:
        # Somebody inside has broken it. What the template brings is there all the same.
        return


def _adopt(environment):
    packages = "lib/python%d.%d/site-packages" % sys.version_info[:2]
    own = os.path.join(OWN, packages)
    if sys.prefix != BROUGHT or not os.path.isdir(own):
        return
    program = os.path.join(OWN, "bin", "python")
    if _replaced(own):
        os.execve(program, [program, MAIN], environment)
    sys.executable, sys.prefix, sys.exec_prefix = program, OWN, OWN
    before = list(sys.path)
    site.addsitedir(own)
    added = [path for path in sys.path if path not in before]
    sys.path[:] = before
    brought = os.path.join(BROUGHT, packages)
    at = before.index(brought) if brought in before else len(before)
    sys.path[at:at] = [path for path in added if path != brought]


def _replaced(own):
    """Whether anything that is loaded already is there, too."""
    loaded = {name.partition(".")[0] for name in sys.modules}
    for name in os.listdir(own):
        stem, dot, _ = name.partition(".")
        if stem in loaded and (dot == "" or name.endswith((".py", ".so"))):
            return True
    return False
