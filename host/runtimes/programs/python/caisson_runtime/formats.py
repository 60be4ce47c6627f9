"""Forms of a value that is shown. To ask a dozen formatters about a number takes as long as all the rest of a short cell, and each says that it is not for it."""

from IPython.core.formatters import DisplayFormatter

TEXT = "text/plain"
# Types of Python's own that nothing but text comes of, unless somebody says otherwise: they have no methods for it. With the names that formatters may know
# them and `object` by.
_KINDS = {kind: [("builtins", one.__name__) for one in kind.__mro__] for kind in (int, float, complex, bool, str, bytes)}


class Formats(DisplayFormatter):
    """Knows the formatters of a new shell. As soon as there are others, or one of them knows such a type, all are asked."""

    def know(self):
        self._known = self._all()
        # What it looks up, as it is at any time.
        self._values = [formatter._trait_values for formatter in self._known if formatter is not self.formatters[TEXT]]
        for formatter in self._known:
            # Made when they are first asked for.
            formatter.singleton_printers, formatter.type_printers, formatter.deferred_printers  # noqa: B018

    def format(self, obj, include=None, exclude=None):
        if include or exclude or type(obj) not in _KINDS or not self._is_nobodys(obj):
            return super().format(obj, include, exclude)
        data = self.formatters[TEXT](obj)
        data, more = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
        return ({} if data is None else {TEXT: data}), ({} if more is None else {TEXT: more})

    def _all(self):
        return [self.ipython_display_formatter, self.mimebundle_formatter, *self.formatters.values()]

    def _is_nobodys(self, obj):
        names, kinds, number = _KINDS[type(obj)], type(obj).__mro__, id(obj)
        return self._all() == self._known and all(
            number not in values["singleton_printers"]
            and values["type_printers"].keys().isdisjoint(kinds)
            and values["deferred_printers"].keys().isdisjoint(names)
            for values in self._values
        )
