"""How many columns of a frame pandas shows."""

import sys
from contextlib import contextmanager

_COLUMNS = "display.max_columns"
# In a kernel of Jupyter's.
_IN_A_NOTEBOOK = 20
# As many as fit on a terminal.
_ON_A_TERMINAL = 0


def show_columns(pandas):
    """
    In cells, as many as a notebook shows. pandas takes this shell for one on a terminal of 80 characters: it would leave columns out of what it shows, as
    HTML too.
    """
    # A module of the code's own may have the name; and what a program prints is as Python's own would print it.
    if hasattr(pandas, "set_option") and not hasattr(sys.modules["__main__"], "__file__"):
        pandas.set_option(_COLUMNS, _IN_A_NOTEBOOK)


@contextmanager
def fitted_to_a_terminal():
    """While a program runs."""
    pandas = sys.modules.get("pandas")
    if not hasattr(pandas, "set_option"):
        yield
        return
    kept = pandas.get_option(_COLUMNS)
    pandas.set_option(_COLUMNS, _ON_A_TERMINAL)
    try:
        yield
    finally:
        pandas.set_option(_COLUMNS, kept)
