"""matplotlib, inline: a backend whose `show` hands the open figures over as images. Named as a backend by its module, so its public names are matplotlib's."""

import io
import sys
import weakref

from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas  # noqa: F401
from matplotlib.backends.backend_agg import new_figure_manager  # noqa: F401

NAME = "module://" + __name__
_shown = weakref.WeakSet()


def png(figure):
    """Image of a figure, or None when there is nothing on it."""
    if not figure.axes and not figure.lines and not figure.texts and not figure.images and not figure.patches:
        return None
    _shown.add(figure)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi="figure", bbox_inches="tight", facecolor="auto", edgecolor="auto")
    return image.getvalue()


def show(*_args, **_kwargs):
    """`plt.show()`."""
    emit()


def emit():
    """Shows and closes all open figures, oldest first. One that was shown as a value already is only closed."""
    pylab = sys.modules.get("matplotlib._pylab_helpers")
    if pylab is None:
        return
    from IPython.display import display

    try:
        for manager in sorted(pylab.Gcf.get_all_fig_managers(), key=lambda manager: manager.num):
            figure = manager.canvas.figure
            if figure in _shown:
                _shown.discard(figure)
                continue
            image = png(figure)
            _shown.discard(figure)
            if image is not None:
                display({"image/png": image, "text/plain": repr(figure)}, raw=True)
    finally:
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
