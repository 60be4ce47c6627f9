"""What was said and shown: kept under the names that IPython gives it, and given to the shell as results."""

import builtins

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.history import HistoryManager

from caisson_runtime.rich import rich


class History(HistoryManager):
    # Here and in shell.py: where IPython has traits that nobody observes, each of which takes twenty calls to be set.
    _i = _ii = _iii = _i00 = ""


class Hook(DisplayHook):
    """Takes the value of the last expression."""

    exec_result = None

    @staticmethod
    def semicolon_at_end_of_expression(expression):
        _, found, after = expression.rpartition(";")
        # The tokens need not be looked at where something follows that is no comment.
        return bool(found) and ("#" in expression or not after.strip()) and DisplayHook.semicolon_at_end_of_expression(expression)

    def update_user_ns(self, result):
        """`_` to `___`, `_3` and `Out[3]`, with fewer walks through traitlets than IPython's own."""
        shell, number = self.shell, self.prompt_count
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
        shell.push(shown, interactive=False)
        out[number] = result

    def write_output_prompt(self):
        """The number is in the end message."""

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.emit(rich(format_dict, True))

    def log_output(self, format_dict):
        """It would keep every image in memory."""

    def finish_displayhook(self):
        self._is_active = False


class Publisher(DisplayPublisher):
    """Takes what `display` is given."""

    def publish(self, data, metadata=None, **_more):
        self.shell.emit(rich(data, False))

    def clear_output(self, wait=False):
        """What was said has been sent."""
