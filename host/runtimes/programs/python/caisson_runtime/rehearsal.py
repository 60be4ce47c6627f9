"""What is run before anybody asks: the paths of a first run, walked while nobody waits."""

import sys

# Says nothing, and shows what is not passed on.
SHORT = ("print(end='')", "1")
# Python rewrites the code that it runs often, and then leaves it alone: afterwards a fork has fewer pages to change.
OFTEN = 20
_EVERYDAY = ("import sys, os\nx = 1; x", "print('warm')\n{'a': [1, 2.5, None]}")
_NUMPY = "import numpy as np\nint(np.ones(2).sum())\nnp.arange(3).mean()"
_PANDAS = "import pandas as pd, numpy as np\nf = pd.DataFrame({'a': np.arange(3), 'b': list('xyz')})\nf.groupby('b').sum()\nf"
_PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3]); plt.title('warm'); plt.show()"
_FAILURE = "1 / 0"
_COMMAND = "!true"


def whole():
    """Once, for all that is forked or restored from this process."""
    return (*("x = 1\nx",) * OFTEN, *again(), *_with("matplotlib.pyplot", _PLOT), _COMMAND)


def again():
    """For a process that was restored: where a processor is emulated, each has to translate for itself what it runs."""
    return (*_EVERYDAY, *_with("numpy", _NUMPY), *_with("pandas", _PANDAS), _FAILURE)


def _with(module, cell):
    """To load it is not part of it."""
    return (cell,) if module in sys.modules else ()
