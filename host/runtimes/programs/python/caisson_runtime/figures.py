"""matplotlib, inline: a backend whose `show` hands the open figures over as images. Named as a backend by its module, so its public names are matplotlib's."""

import io
import os
import sys
import weakref

from matplotlib.backends.backend_agg import FigureCanvasAgg

from caisson_runtime import charts
from caisson_runtime.rich import CHART

# What each figure looked like when it was last shown: it is shown once, and again only when it has changed.
_shown = weakref.WeakKeyDictionary()
_saving = []


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
        display({"image/png": image, "text/plain": repr(figure), CHART: charts.chart(figure)}, raw=True)


def _image(figure):
    if not figure.axes and not figure.lines and not figure.texts and not figure.images and not figure.patches:
        return None
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi="figure", bbox_inches="tight", facecolor="auto", edgecolor="auto")
    return image.getvalue()
