"""Forms of a value that is shown. To ask a dozen formatters about a number takes as long as all the rest of a short cell, and each says that it is not for it."""

from IPython.core.formatters import DisplayFormatter

TEXT = "text/plain"
# Types of Python's own that nothing but text comes of, which is what `repr` says, unless somebody says otherwise: they have no methods for it.
_KINDS = frozenset((int, float, complex, bool, str, bytes))
# What formatters may know them, and `object`, by.
_KEYS = frozenset(key for kind in _KINDS for one in kind.__mro__ for key in (one, ("builtins", one.__name__)))


class Formats(DisplayFormatter):
    """Knows the formatters of a new shell. As soon as there are others, or one of them is changed or knows such a type, all are asked."""

    _are_new = False

    def know(self):
        formatters = [self.ipython_display_formatter, self.mimebundle_formatter, *self.formatters.values()]
        for formatter in formatters:
            values = formatter._trait_values
            for name, keys in (("singleton_printers", None), ("type_printers", _KEYS), ("deferred_printers", _KEYS)):
                # Made when it is first asked for.
                values[name] = _Watched(getattr(formatter, name), keys, self._forget)
        self._trait_values["formatters"] = _Watched(self.formatters, None, self._forget)
        self._are_new = True
        for one in (self, *formatters):
            one.observe(self._forget)

    def format(self, obj, include=None, exclude=None):
        if type(obj) in _KINDS and self._are_new and not include and not exclude:
            try:
                return {TEXT: repr(obj)}, {}
            except Exception:
                # A number too long to be shown: the formatter says so.
                pass
        return super().format(obj, include, exclude)

    def _forget(self, _change=None):
        self._are_new = False


class _Watched(dict):
    """Tells when one of the keys is set, or any where none are named."""

    def __init__(self, values, keys, tell):
        super().__init__(values)
        self._keys, self._tell = keys, tell

    def __setitem__(self, key, value):
        if self._keys is None or key in self._keys:
            self._tell()
        super().__setitem__(key, value)

    def setdefault(self, key, default=None):
        self._tell()
        return super().setdefault(key, default)

    def update(self, *values, **named):
        self._tell()
        super().update(*values, **named)
