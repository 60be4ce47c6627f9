"""IPython, with its ends tied to ours: values and display data become results, exceptions become failures; it keeps nothing on the disk."""

import atexit
import builtins
import linecache
import os
import subprocess
import sys
import warnings
from contextlib import contextmanager, nullcontext

from IPython.core.autocall import ExitAutocall
from IPython.core.compilerop import CachingCompiler
from IPython.core.formatters import BaseFormatter
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets import Dict, Type, Unicode
from traitlets.config import Config

from caisson_runtime import failure, images, inline
from caisson_runtime.cell import Cells
from caisson_runtime.formats import Formats
from caisson_runtime.frames import show_columns
from caisson_runtime.imports import AfterImport
from caisson_runtime.interrupts import held
from caisson_runtime.loop import MAY_WANT_LOOP, Loop, wants_running
from caisson_runtime.plain import Plain
from caisson_runtime.rich import CHART, PLAIN, TABLE
from caisson_runtime.shown import History, Hook, Publisher, Trap
from caisson_runtime.tables import plain_json, table

try:
    # OpenSSL would look for its implementation each time.
    from _sha1 import sha1
except ImportError:
    from hashlib import sha1


class _Table(BaseFormatter):
    format_type = Unicode(TABLE)
    _return_type = dict
    print_method = "_repr_caisson_table_"


class _Chart(BaseFormatter):
    format_type = Unicode(CHART)
    _return_type = dict
    print_method = "_repr_caisson_chart_"


class _Plain(BaseFormatter):
    format_type = Unicode(PLAIN)
    _return_type = str
    print_method = "_repr_caisson_plain_"


class _Compiler(CachingCompiler):
    # Set while a snippet runs: what Python calls code that came from no file.
    name = None

    def get_code_name(self, raw_code, transformed_code, number):
        return self.name or "<ipython-input-%d-%s>" % (number, sha1(transformed_code.encode()).hexdigest()[:12])

    def format_code_name(self, name):
        return None if self.name else super().format_code_name(name)


class _Exit(ExitAutocall):
    def __call__(self, code=None):
        raise SystemExit(code)


class Shell(InteractiveShell):
    """`emit` takes each result; `failed` is the exception that ended the last run, `told` its text."""

    compiler_class = Type(_Compiler)
    displayhook_class = Type(Hook)
    display_pub_class = Type(Publisher)
    mime_renderers = Dict()
    execution_count = 1
    display_formatter = history_manager = builtin_trap = display_trap = None
    last_execution_result = None
    last_execution_succeeded = True

    @classmethod
    def make(cls, emit):
        config = Config()
        config.InteractiveShell.colors = "nocolor"
        config.HistoryManager.enabled = False
        config.HistoryManager.hist_file = ":memory:"
        config.InteractiveShell.autoawait = True
        config.InteractiveShell.show_rewritten_input = False
        # A list is shown whole.
        config.PlainTextFormatter.max_seq_length = 0
        shell = cls.instance(config=config)
        shell.emit = emit
        shell.loop_runner = Loop()
        shell.failed = shell.told = None
        # By the name that `display` gave it, what it looks like now.
        shell.changed = {}
        shell.is_plain, shell.cells = Plain(shell), Cells(shell)
        # For good, and not for each cell: a name more or less among the builtins, and Python looks up all of them anew, everywhere.
        shell.builtin_trap.__enter__()
        # Of no use to a publisher of ours.
        for functions in shell.events.callbacks.values():
            functions[:] = [function for function in functions if getattr(function, "__self__", None) is not shell.display_pub]
        # The process ends without finalizers; programs run theirs (closing.py).
        atexit.unregister(shell.atexit_operations)
        # Said after each SystemExit.
        warnings.filterwarnings("ignore", message="To exit: use ")
        builtins.input = _Input(builtins.input)
        return shell

    def init_ipython_dir(self, ipython_dir):
        """Nothing is kept between two lives."""

    def init_profile_dir(self, profile_dir):
        # A folder by name only: it would be made at once if the change were observed. %store and %bookmark make it when they are used.
        self.profile_dir = ProfileDir()
        self.profile_dir.unobserve_all("location")
        self.move_in()

    def move_in(self):
        """To the home of whoever is served: at the start it may have been another's."""
        place = os.path.expanduser("~/.ipython/profile_default")
        # To set it takes a walk through traitlets, on a hundred pages that a fork would have to make its own.
        if place != self.profile_dir.location:
            self.profile_dir.location = place

    def init_history(self):
        self.history_manager = History(shell=self, parent=self)
        self.history_manager.owner = self
        self.configurables.append(self.history_manager)

    def init_virtualenv(self):
        """The interpreter is the right one already."""

    def init_user_ns(self):
        self.exiter = _Exit(self)
        super().init_user_ns()

    def init_displayhook(self):
        super().init_displayhook()
        self.displayhook.owner = self
        self.display_trap = Trap(self.displayhook)

    def init_display_formatter(self):
        self.display_formatter = Formats(parent=self)
        self.configurables.append(self.display_formatter)
        formatters = self.display_formatter.formatters
        formatters[TABLE] = _Table(parent=self.display_formatter)
        formatters[TABLE].for_type_by_name("pandas", "DataFrame", table)
        formatters[TABLE].for_type_by_name("pandas.core.frame", "DataFrame", table)
        formatters[CHART] = _Chart(parent=self.display_formatter)
        formatters[CHART].for_type_by_name("matplotlib.figure", "Figure", _chart)
        formatters["image/png"].for_type_by_name("matplotlib.figure", "Figure", _png)
        formatters[PLAIN] = _Plain(parent=self.display_formatter)
        for kind in (dict, list):
            formatters[PLAIN].for_type(kind, plain_json)
        self.display_formatter.know()
        AfterImport.arrange("pandas", show_columns)
        AfterImport.arrange("matplotlib", _use_our_backend)
        inline.arrange()
        images.arrange()

    def should_run_async(self, raw_cell, *, transformed_cell=None, preprocessing_exc_tuple=None):
        # Compiled once less.
        cell = transformed_cell
        if cell is not None and MAY_WANT_LOOP.search(cell) is None:
            return False
        self.loop_runner.given()
        asks = super().should_run_async(raw_cell, transformed_cell=cell, preprocessing_exc_tuple=preprocessing_exc_tuple)
        return asks or (cell is not None and wants_running(cell))

    def transform_cell(self, raw_cell):
        if not self.is_plain(raw_cell):
            return super().transform_cell(raw_cell)
        return raw_cell if raw_cell.endswith("\n") else raw_cell + "\n"

    def _tee(self, channel):
        """IPython's own keeps a copy of all that is printed, for as long as it lives."""
        return nullcontext()

    def system(self, cmd):
        """`!cmd`: with our descriptors, so that its output keeps its place. (IPython's own would give it a terminal, or swallow an interrupt.)"""
        command = self.var_expand(cmd, depth=1)
        status = subprocess.call(command, shell=True, executable=os.environ.get("SHELL"))
        self.user_ns["_exit_code"] = status
        if self.system_raise_on_error and status != 0:
            raise subprocess.CalledProcessError(status, command)

    def enable_matplotlib(self, gui=None):
        _use_our_backend(__import__("matplotlib"), force=True)
        return "inline", "caisson"

    def run_line_magic(self, magic_name, line, _stack_depth=1):
        if magic_name == "config" and line.startswith("InlineBackend."):
            inline.know(self)
        return super().run_line_magic(magic_name, line, _stack_depth=_stack_depth + 1)

    def ask_exit(self):
        raise SystemExit

    @contextmanager
    def set_aside(self):
        """A program finds the builtins that Python has."""
        is_aside = False
        try:
            with held():
                self.builtin_trap.__exit__(None, None, None)
                is_aside = True
            yield
        finally:
            if is_aside:
                with held():
                    self.builtin_trap.__enter__()

    def run(self, code, name=None):
        """Runs a cell. Returns the exception that ended it, or None; `told` then is what to show of it."""
        self.failed = self.told = None
        self.compile.name = name
        try:
            error = self.cells.run(code)
        finally:
            self.compile.name = None
        if self.changed:
            self.display_pub.settle()
        if error is not None and self.failed is None:
            self._fail(error)
        return self.failed

    def showtraceback(self, exc_tuple=None, filename=None, tb_offset=None, exception_only=False, running_compiled_code=False):
        try:
            # Kept as `sys.last_value`: for `%tb`, `%debug` and `pdb.pm()`.
            _, error, _ = self._get_exc_info(exc_tuple)
        except ValueError:
            print("No traceback available to show.", file=sys.stderr)
        else:
            self._fail(error, running_compiled_code)

    def showsyntaxerror(self, filename=None, running_compiled_code=False):
        self.showtraceback()

    def _fail(self, error, ran=True):
        self.failed = failure.clean(error)
        try:
            self.told = failure.told(self, error, ran)
        except Exception:
            # The formatter reads sources and values; a plain traceback needs neither.
            self.told = failure.plain(error)

    def _format_exception_for_storage(self, exception, filename=None, running_compiled_code=False):
        """For `%notebook`. It has been told by now, and what it says of itself may be another exception."""
        said = failure.message(exception, self.told or "")
        return {"ename": said["name"], "evalue": said["value"], "traceback": [said["traceback"]]}

    def forget(self):
        """As new, after the warm-up: of the cells that ran nothing is to be found."""
        self.reset(new_session=True)
        self.execution_count = 1
        history = self.history_manager
        history._i = history._ii = history._iii = history._i00 = ""
        for name in self.compile._filename_map:
            linecache.cache.pop(name, None)
        self.compile._filename_map.clear()
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            vars(sys).pop(name, None)
        self.failed = self.told = None


class _Input:
    """`input()` where nobody can answer. With a `sys.stdin` of the code's own it is Python's."""

    def __init__(self, original):
        self._original = original
        self._stdin = sys.stdin

    def __call__(self, prompt="", /):
        if sys.stdin is not self._stdin:
            return self._original(prompt)
        sys.stdout.write(str(prompt))
        raise EOFError("EOF when reading a line: standard input is closed in a sandbox, input() cannot be answered")


def _png(figure):
    from caisson_runtime import figures

    return figures.png(figure)


def _chart(figure):
    from caisson_runtime import charts

    return charts.chart(figure)


def _use_our_backend(matplotlib, force=False):
    # A backend that the environment names was chosen by somebody.
    if force or "MPLBACKEND" not in os.environ:
        matplotlib.rcParams["backend"] = "module://caisson_runtime.figures"
