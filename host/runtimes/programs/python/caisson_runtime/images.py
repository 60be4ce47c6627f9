"""Pictures of PIL that are shown or saved are results too."""

import functools
import os
import sys

from caisson_runtime.imports import AfterImport


def arrange():
    AfterImport.arrange("PIL.Image", _take_saves)
    AfterImport.arrange("PIL.ImageShow", _take_shows)


def _take_saves(module):
    original = module.Image.save

    @functools.wraps(original)
    def save(image, fp, format=None, **params):
        original(image, fp, format, **params)
        if isinstance(fp, (str, os.PathLike)) and not _belongs_to_a_figure():
            _show(image)

    module.Image.save = save


def _take_shows(module):
    class Viewer(module.Viewer):
        def show(self, image, **_options):
            _show(image)
            return 1

    # Before those that look for a program with a window.
    module.register(Viewer, 0)


def _belongs_to_a_figure():
    figures = sys.modules.get("caisson_runtime.figures")
    return figures is not None and figures.is_saving()


def _show(image):
    from IPython.display import display

    try:
        # PNG does not know every mode.
        png = image._repr_png_() or image.convert("RGB")._repr_png_()
    except Exception:
        # The picture was saved as it was asked for; what cannot be shown is not.
        png = None
    if png is not None:
        display({"image/png": png, "text/plain": repr(image)}, raw=True)
