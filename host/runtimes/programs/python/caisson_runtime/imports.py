"""Does something once a module has been imported, whoever imports it and when."""

import importlib.util
import sys


class AfterImport:
    """A finder that finds nothing itself: it lets the others find the module and then has `then` called with it."""

    def __init__(self, name, then):
        self._name = name
        self._then = then

    @classmethod
    def arrange(cls, name, then):
        if name in sys.modules:
            then(sys.modules[name])
        else:
            sys.meta_path.insert(0, cls(name, then))

    def find_spec(self, name, _path=None, _target=None):
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            self._then(module)

        spec.loader.exec_module = exec_module
        return spec
