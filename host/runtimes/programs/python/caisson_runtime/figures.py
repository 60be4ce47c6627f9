"""matplotlib, inline: a backend whose `show` hands the open figures over as images. Named as a backend by its module, so its public names are matplotlib's."""

import io
import os
import sys
import weakref
from functools import partial

from matplotlib.backends.backend_agg import FigureCanvasAgg

from caisson_runtime import charts
from caisson_runtime.rich import CHART

# What each figure looked like when it was last shown: it is shown once, and again only when it has changed.
_shown = weakref.WeakKeyDictionary()
_saving = []
# By MIME type, what draws a figure, once somebody has chosen the forms that figures are shown in.
_chosen = {}


class FigureCanvas(FigureCanvasAgg):
    def print_figure(self, filename, *args, **kwargs):
        if not isinstance(filename, (str, os.PathLike)):
            return super().print_figure(filename, *args, **kwargs)
        _saving.append(self)
        try:
            saved = super().print_figure(filename, *args, **kwargs)
        finally:
            _saving.pop()
        # Many save a figure and close it, and never show it.
        _show(self.figure)
        return saved


def is_saving():
    """Whether a picture that is being written is a figure's: it is shown as one."""
    return len(_saving) > 0


def png(figure):
    """Image of a figure, or None when there is nothing on it."""
    image = _image(figure)
    if image is not None:
        _shown[figure] = hash(image)
    return image


def choose(shell, select, formats, **how):
    """Of IPython's `select_figure_formats`, in its place: what is drawn by it counts as shown, and has its data beside it still."""
    from matplotlib.figure import Figure

    select(shell, formats, **how)
    _chosen.clear()
    formatters = shell.display_formatter.formatters
    for mime, formatter in formatters.items():
        drawn = formatter.type_printers.get(Figure)
        if drawn is not None:
            _chosen[mime] = drawn
            formatter.for_type(Figure, partial(_drawn, drawn))
    formatters[CHART].for_type(Figure, charts.chart)


def _drawn(draw, figure):
    form = draw(figure)
    if form is not None:
        # Not of the form itself: no two pictures as SVG are the same.
        _shown[figure] = hash(_image(figure))
    return form


def _forms(figure, image):
    forms = {mime: draw(figure) for mime, draw in _chosen.items()}
    # With its size, from some.
    return {mime: form[0] if isinstance(form, tuple) else form for mime, form in forms.items()} or {"image/png": image}


def show(*_args, **_kwargs):
    """`plt.show()`."""
    emit()


def emit():
    """Shows the open figures, oldest first, and closes them."""
    pylab = sys.modules.get("matplotlib._pylab_helpers")
    if pylab is None:
        return
    try:
        for manager in sorted(pylab.Gcf.get_all_fig_managers(), key=lambda manager: manager.num):
            _show(manager.canvas.figure)
    finally:
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")


def _show(figure):
    from IPython.display import display

    before = _shown.get(figure)
    image = png(figure)
    if image is not None and hash(image) != before:
        display({**_forms(figure, image), "text/plain": repr(figure), CHART: charts.chart(figure)}, raw=True)


def _image(figure):
    if not figure.axes and not figure.lines and not figure.texts and not figure.images and not figure.patches:
        return None
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi="figure", bbox_inches="tight", facecolor="auto", edgecolor="auto")
    return image.getvalue()
