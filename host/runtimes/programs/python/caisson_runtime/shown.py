"""What was said and shown: kept under the names that IPython gives it, and given to the shell as results."""

import builtins
import sys

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.history import HistoryManager

from caisson_runtime.rich import rich


class History(HistoryManager):
    # Here and in shell.py: where IPython has traits that nobody observes, each of which takes two calls to be read and twenty to be set.
    _i = _ii = _iii = _i00 = ""
    input_hist_parsed = input_hist_raw = None
    # Of which it is: `shell`, which is a trait.
    owner = None

    def __init__(self, *parts, **named):
        self.input_hist_parsed, self.input_hist_raw = [""], [""]
        super().__init__(*parts, **named)

    def store_inputs(self, line_num, source, source_raw=None):
        """`In`, `_i` to `_iii` and `_i3`. There is no database that they would be kept for besides."""
        said = (source if source_raw is None else source_raw).rstrip("\n")
        if self._exit_re.match(said.strip()):
            return
        self.input_hist_parsed.append(source.rstrip("\n"))
        self.input_hist_raw.append(said)
        self._iii, self._ii, self._i, self._i00 = self._ii, self._i, self._i00, said
        _tell(self.owner, {"_i": self._i, "_ii": self._ii, "_iii": self._iii, "_i%s" % line_num: said})


def _tell(shell, names):
    """Names that the code finds, and that are not its own."""
    shell.user_ns.update(names)
    shell.user_ns_hidden.update(names)


class Trap:
    """`sys.displayhook` while cells run, one within another or not."""

    def __init__(self, hook):
        self._hook, self._before, self._depth = hook, None, 0

    @property
    def is_active(self):
        return self._depth > 0

    def __enter__(self):
        if self._depth == 0:
            self._before, sys.displayhook = sys.displayhook, self._hook
        self._depth += 1
        return self

    def __exit__(self, *_failure):
        self._depth -= 1
        if self._depth == 0:
            sys.displayhook = self._before


class Hook(DisplayHook):
    """Takes the value of the last expression."""

    exec_result = owner = None

    def __call__(self, result=None):
        self.check_for_underscore()
        if result is None or self.quiet():
            return
        self._is_active = True
        forms, _ = self.owner.display_formatter.format(result)
        self.update_user_ns(result)
        self.fill_exec_result(result)
        if forms:
            self.owner.emit(rich(forms, True))
        self._is_active = False

    def quiet(self):
        said = self.owner.history_manager.input_hist_parsed
        return bool(said) and self.semicolon_at_end_of_expression(said[-1])

    @staticmethod
    def semicolon_at_end_of_expression(expression):
        _, found, after = expression.rpartition(";")
        # The tokens need not be looked at where something follows that is no comment.
        return bool(found) and ("#" in expression or not after.strip()) and DisplayHook.semicolon_at_end_of_expression(expression)

    def update_user_ns(self, result):
        """`_` to `___`, `_3` and `Out[3]`, with fewer walks through traitlets than IPython's own."""
        shell = self.owner
        number = shell.execution_count - 1
        names, hidden = shell.user_ns, shell.user_ns_hidden
        out = names["_oh"]
        if result is out:
            return
        if len(out) >= self.cache_size:
            self.cull_cache()
        last = {"_": self._, "__": self.__, "___": self.___}
        # What somebody has given such a name to stays.
        theirs = "_" in builtins.__dict__
        for name, value in last.items():
            theirs = theirs or (name in names and names[name] is not hidden.get(name, value))
        self._, self.__, self.___ = result, self._, self.__
        shown = {"_%s" % number: result}
        if not theirs:
            shown.update(_=result, __=self.__, ___=self.___)
        _tell(shell, shown)
        out[number] = result


class Publisher(DisplayPublisher):
    """Takes what `display` is given."""

    def publish(self, data, metadata=None, transient=None, update=False, **_more):
        name, changed = (transient or {}).get("display_id"), self.shell.changed
        if update:
            # Nobody can be told that a result is another now, and a bar that moves would be a thousand of them: the last is shown when the cell is over.
            changed[name] = data
        else:
            changed.pop(name, None)
            self.shell.emit(rich(data, False))

    def settle(self):
        changed = self.shell.changed
        while changed:
            self.shell.emit(rich(changed.pop(next(iter(changed))), False))

    def clear_output(self, wait=False):
        """What was said has been sent."""
