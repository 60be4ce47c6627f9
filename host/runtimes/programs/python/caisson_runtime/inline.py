"""What a kernel of Jupyter's is told of figures: in which forms they are to be shown."""

from caisson_runtime.imports import AfterImport


def arrange():
    AfterImport.arrange("IPython.core.pylabtools", _take_choices)


def know(shell):
    """For `%config InlineBackend`: it comes with Jupyter's backend, in the place of which ours is."""
    from matplotlib_inline.config import InlineBackend

    backend = InlineBackend.instance(parent=shell)
    backend.shell = shell
    if backend not in shell.configurables:
        shell.configurables.append(backend)


def _take_choices(pylabtools):
    select = pylabtools.select_figure_formats

    def choose(shell, formats, **how):
        from caisson_runtime import figures

        figures.choose(shell, select, formats, **how)

    pylabtools.select_figure_formats = choose
