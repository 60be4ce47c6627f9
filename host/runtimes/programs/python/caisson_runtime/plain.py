"""Cells that IPython would leave as they are: it need not look. Its search for magics takes as long as all the rest of a short cell, on a hundred pages
that a fork would have to make its own."""

import re

from IPython.core.autocall import IPyAutocall
from IPython.core.macro import Macro

# Anything that may mean something to IPython, wherever it stands: what is left cannot.
_SPECIAL = re.compile(r"[^\n\x20-\x24\x26-\x3e\x40-\x7e]|!|^ *(?:[/,;>.]|In \[)|^ +$", re.MULTILINE)
_TRAITS = _LATER, _CALLS = "input_transformers_post", "autocall"
_WORD = re.compile(r"[\w.*]*")


class Plain:
    """Knows the transformations of a new shell. As soon as there are others, nothing is plain any more."""

    def __init__(self, shell):
        self._shell = shell
        self._static, self._dynamic = shell.input_transformer_manager, shell.prefilter_manager
        self._magics = shell.magics_manager.magics["line"]
        # A trait has a value once it has been asked for, and is read there: to ask takes two calls.
        for name in _TRAITS:
            getattr(shell, name)
        self._values = shell._trait_values
        self._known = self._transformations()

    def __call__(self, code):
        """Whether the code, with a line end, is what IPython would make of it."""
        if code[:1] in ("", " ", "\n") or _SPECIAL.search(code) or self._transformations() != self._known:
            return False
        if "\n" in code[:-1]:
            return True
        # One line alone: its first word may be a magic without its sign, or something that calls itself.
        word = _WORD.match(code).group()
        return word not in self._magics and not isinstance(self._shell.user_ns.get(word), (Macro, IPyAutocall))

    def _transformations(self):
        return [
            *self._static.cleanup_transforms,
            *self._static.line_transforms,
            *self._static.token_transformers,
            *self._dynamic._transformers,
            *self._dynamic._checkers,
            *self._values[_LATER],
            self._values[_CALLS],
        ]
