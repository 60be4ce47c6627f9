"""The loop: one request after the other, until the host is gone."""

import contextlib
import json
import os
import socket
import sys
import threading
import time

from caisson_runtime import closing, failure, identity, program, rehearsal, stdio
from caisson_runtime.control import TooLarge
from caisson_runtime.interrupts import Interrupts, held
from caisson_runtime.shell import Shell
from caisson_runtime.tables import Encoded

# What the host keeps of one run (MAX_RESULTS_BYTES in wire/limits.ts), with some room.
MAX_RESULTS_BYTES = 60 * 1024 * 1024
# Paths of programs that are no files. They may use what IPython adds, and their last value is shown.
SNIPPETS = ("-c", "-")
# Forms of a result that go as JSON in text: the host passes them on as they are.
EXACT = ("json", "data", "chart", "extra")


class Runtime:
    def __init__(self):
        self._control = None
        self._run = 0
        self._count = 0
        self._room = 0
        self._complained = False
        # Between runs nothing is listened to; a thread of user code may speak at any time.
        self._running = False
        self._leaves_threads = False
        # Before anybody asked: in a fork, and in what waits in a pool.
        self._renewed = False
        # What was taken on for whoever is expected: variables, and what the clock was set by. None: whatever the process began with.
        self._env = self._zone = None
        # What a rehearsal walks: the next one, and those after it.
        self._rehearsals = [rehearsal.SHORT]
        self._speaking = threading.Lock()
        # As `python` without a file: modules are looked for where the code is.
        sys.path.insert(0, "")
        self._shell = Shell.make(self._result)
        self._interrupts = Interrupts()
        self._stdio = None

    def warm(self, cells):
        """Walks the paths of a first run, with nobody listening."""
        for cell in cells:
            self._execute({"op": "run", "id": 0, "code": cell, "env": {}})
        # OpenSSL makes its generators at the first use: far more pages than renewing them takes.
        identity.renew(os.urandom(32).hex())
        self._renewed = False
        self._warmed_in = os.getpid()
        self._shell.forget()
        self._count = 0

    def stands_alone(self):
        """Forked from nothing: all that there is to be walked is walked here, and again, shorter, by whoever is restored from this."""
        self._rehearsals = [rehearsal.again(), rehearsal.whole()]

    def warm_serving(self, control, often=rehearsal.OFTEN):
        """Walks the way of requests and answers as a fork will go it, with nobody at the other end. Standard output and error must be pipes, as theirs are."""
        near, far = socket.socketpair()
        path, self._renewed = sys.path[:], True
        self._control, self._stdio = control.take(far.detach()), stdio.Stdio()
        self._stdio.keep()
        asked = {"op": "init", "env": dict(os.environ), "cwd": os.getcwd(), "seed": ""}
        for run in range(often):
            for request in (asked, {"op": "run", "id": run, "code": 'print("warm")', "env": {}}):
                near.sendall(json.dumps(request).encode() + b"\n")
                self._carry_out(control.next())
            near.recv(1 << 16)
        near.close()
        control.leave()
        self._stdio.leave()
        self._control, self._renewed, self._count = None, False, 0
        # A fork is given other variables, and wakes in another place.
        self._env = self._zone = None
        sys.path[:] = path
        self._shell.forget()

    def renew(self):
        """In a fork of a warmed process, while its wall is being built. What it draws from was renewed (forks.py); what was forgotten before is so still."""
        identity.renew_secret()
        if os.getpid() == self._warmed_in:
            # OpenSSL knows a fork by its process id, and ids inside a sandbox start anew.
            identity.renew(os.urandom(32).hex())
        self._renewed = True

    def serve(self, control):
        self._control = control
        if self._stdio is None:
            self._stdio = stdio.Stdio()
        self._stdio.keep()
        code = 0
        try:
            while control.ours:
                request = control.next()
                if request is None:
                    break
                self._carry_out(request)
        except BaseException as error:
            code = 1
            if control.ours:
                sys.stderr.write("caisson: the runtime failed\n" + failure.plain(error))
        finally:
            # Of a fork that user code made this is the end too: it must not go on as a runtime. No finalizers: they would touch every page.
            os._exit(code)

    def _carry_out(self, request):
        if request["op"] == "rehearse":
            self._rehearse(request)
        elif request["op"] == "init":
            self._init(request)
        elif request["op"] == "renew":
            self._renew(request["seed"])
        elif request["op"] == "run":
            self._execute(request)

    def _rehearse(self, request):
        """For whoever comes first. A fork makes each page that it changes its own, a thousand of them until its first run is over: here that is done while nobody waits."""
        cells, path = self._rehearsals[-1], sys.path[:]
        del self._rehearsals[1:]
        with self._control.muted(), self._stdio.hushed():
            self._init({**request, "seed": os.urandom(32).hex()})
            self.warm(cells)
        sys.path[:] = path
        self._env = dict(os.environ)
        # Of what is saved for others each is given its own.
        if request["seed"]:
            self._renew(request["seed"])
        self._send({"type": "ready"})

    def _init(self, request):
        self._take_on(request["env"])
        try:
            os.chdir(request["cwd"])
        except OSError as error:
            self._send({"type": "failed", "code": "FILE_MISSING", "message": "the folder of the context: %s" % error})
            os._exit(1)
        self._shell.move_in()
        self._shell.user_ns["_dh"][:] = [os.getcwd()]
        sys.path[1:1] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        if not self._renewed:
            identity.renew(request["seed"])
        self._send({"type": "ready"})

    def _take_on(self, env):
        """Only what differs: each variable is a walk into the C library, and there are dozens."""
        before = dict(os.environ) if self._env is None else self._env
        for name in before.keys() - env.keys():
            del os.environ[name]
        for name, value in env.items():
            if before.get(name) != value:
                os.environ[name] = value
        zone = (env.get("TZ"),)
        if zone != self._zone:
            time.tzset()
        self._zone = zone

    def _renew(self, seed):
        identity.renew(seed)
        self._renewed = True

    def _execute(self, request):
        self._run, self._room, self._running = request["id"], MAX_RESULTS_BYTES, True
        self._complained = False
        self._count += 1
        self._shell.execution_count = self._count
        if self._stdio is not None and (self._leaves_threads or threading.active_count() > 1):
            self._stdio.mend()
        end = {"type": "end", "id": self._run, "executionCount": self._count}
        error, text = None, ""
        try:
            try:
                if self._interrupts.allow() and self._control is not None and self._control.interrupted(self._run):
                    raise KeyboardInterrupt
                if request["env"]:
                    with _environment(request["env"]):
                        error, text = self._attempt(request, end)
                else:
                    error, text = self._attempt(request, end)
            finally:
                self._interrupts.forbid()
        except KeyboardInterrupt as interrupt:
            # Between two lines of ours, or in an exit handler.
            self._interrupts.forbid()
            error = failure.clean(interrupt)
            text = failure.plain(error)
            if "program" in request:
                end["exitCode"] = program.INTERRUPTED
        stdio.flush()
        if self._control is not None and not self._control.ours:
            return
        if error is not None and not ("program" in request and isinstance(error, SystemExit)):
            self._send({"type": "error", "id": self._run, "error": failure.message(error, text)})
            if failure.filled_disk(error):
                end["limit"] = "disk"
        with self._speaking:
            self._running = False
            self._send(end)
        # While nobody waits for it. What a thread that is left does later is undone before the next run.
        self._leaves_threads = threading.active_count() > 1
        if self._stdio is not None:
            self._stdio.mend()

    def _attempt(self, request, end):
        """Returns the exception that ended the code, and its text."""
        task = request.get("program")
        if task is None:
            error = self._shell.run(request["code"])
            self._figures()
            return error, self._shell.told
        path = task["path"]
        with program.stage(path, task["args"]):
            is_snippet = path in SNIPPETS or path.endswith(".ipy")
            with contextlib.nullcontext() if is_snippet else self._shell.set_aside():
                if is_snippet:
                    error = self._shell.run(request["code"], "<string>" if path == "-c" else "<stdin>" if path == "-" else path)
                else:
                    error = program.run(request["code"], path)
                text = "" if error is None else failure.plain(error)
                end["exitCode"] = program.status(error)
                self._figures()
                closing.wind_up()
        return error, text

    def _figures(self):
        pylab = sys.modules.get("matplotlib._pylab_helpers")
        if pylab is not None:
            try:
                if pylab.Gcf.figs:
                    from caisson_runtime import figures

                    figures.emit()
            except Exception as error:
                # Drawing happens here, and what the code put on the figure may not be drawable.
                failure.say(failure.clean(error))

    def _result(self, result):
        if len(result) == 1:
            return
        stdio.flush()
        try:
            # The value of the last line is followed by the end, which nothing interrupts: both are said then.
            if result.get("isMainResult") is True:
                self._say(result, with_next=True)
            else:
                with held():
                    self._say(result)
        except TooLarge:
            if not self._complained:
                sys.stderr.write("caisson: a result was left out: one may have 31 MiB, those of a run 60 MiB together\n")
            self._complained = True
        except ValueError as error:
            sys.stderr.write("caisson: a result was left out: %s\n" % error)

    def _say(self, result, with_next=False):
        with self._speaking:
            if not self._running:
                return
            if self._room <= 0:
                raise TooLarge(0)
            exact = {form: _encoded(result.pop(form)) for form in EXACT if form in result}
            message = {"type": "result", "id": self._run, "result": result, "exact": exact}
            self._room -= self._send(message, with_next)

    def _send(self, message, with_next=False):
        return 0 if self._control is None else self._control.send(message, with_next)


def _encoded(value):
    return value if isinstance(value, Encoded) else json.dumps(value, allow_nan=False)


@contextlib.contextmanager
def _environment(changes):
    """Variables of one run. What the code itself changes stays, but for these."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
