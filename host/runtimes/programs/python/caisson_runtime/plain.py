"""Cells that IPython would leave as they are: it need not look. Its search for magics takes as long as all the rest of a short cell, on a hundred pages
that a fork would have to make its own."""

import re

from IPython.core.autocall import IPyAutocall
from IPython.core.macro import Macro

# Anything that may mean something to IPython, wherever it stands: what is left cannot.
_SPECIAL = re.compile(r"[^\n\x20-\x24\x26-\x3e\x40-\x7e]|!|^ *(?:[/,;>.]|In \[)|^ +$", re.MULTILINE)
_WORD = re.compile(r"[\w.*]*")


class Plain:
    """Knows the transformations of a new shell. As soon as there are others, nothing is plain any more."""

    def __init__(self, shell):
        self._shell = shell
        self._static, self._dynamic = shell.input_transformer_manager, shell.prefilter_manager
        self._magics = shell.magics_manager.magics["line"]
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
            *self._shell.input_transformers_post,
            *self._dynamic._transformers,
            *self._dynamic._checkers,
            self._shell.autocall,
        ]
