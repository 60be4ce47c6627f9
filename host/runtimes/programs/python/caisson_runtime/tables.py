"""Values as JSON: always valid, always bounded."""

import dataclasses
import datetime
import enum
import json
import math
import uuid

MAX_DEPTH = 60
MAX_VALUES = 1_000_000


class Encoded(str):
    """JSON, as text."""


def table(frame):
    """A pandas frame as column name to values, None for what is missing; None when it is too large to be told whole."""
    if frame.size > MAX_VALUES:
        return None
    columns = {}
    for position, label in enumerate(frame.columns):
        name = str(label)
        while name in columns:
            name += "."
        columns[name] = _column(frame.iloc[:, position])
    return columns


def show_columns(pandas):
    """As in a notebook: under an IPython that is no kernel of Jupyter's, pandas takes the screen for a terminal, and leaves out what it has no room for."""
    if pandas.get_option("display.max_columns") == 0:
        pandas.set_option("display.max_columns", 20)


def _column(series):
    kind = getattr(series.dtype, "kind", "O")
    values = series.tolist()
    is_plain = kind in "iub" or (kind == "f" and all(map(math.isfinite, values)))
    return values if is_plain else json_value(values)


def json_value(value):
    """The nearest JSON value; text for what has none, or lies too deep."""
    return _Converter(False).convert(value, 0)


def plain_json(value):
    """A list or a dictionary, if it means something as JSON: None for one that holds what JSON has no word for."""
    try:
        if _is_shallow(value, MAX_DEPTH):
            return Encoded(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        # It holds what this encoder does not know, as numbers of numpy and dates.
        pass
    try:
        return Encoded(json.dumps(_Converter(True).convert(value, 0), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return None


def _is_shallow(value, levels):
    if levels == 0:
        return False
    items = value.values() if isinstance(value, dict) else value
    return all(_is_shallow(item, levels - 1) for item in items if isinstance(item, (dict, list, tuple)))


class _Converter:
    """`is_strict`: a value that has no JSON, or lies too deep, is a TypeError."""

    def __init__(self, is_strict):
        self._is_strict = is_strict
        self._left = MAX_VALUES

    def convert(self, value, depth):
        self._left -= 1
        if self._left < 0:
            raise ValueError("more than %d values" % MAX_VALUES)
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if type(value).__name__ in ("NAType", "NaTType"):
            return None
        if isinstance(value, (datetime.date, datetime.time)):
            return value.isoformat()
        if depth >= MAX_DEPTH:
            return self._text(value)
        if isinstance(value, dict):
            return {self._key(key): self.convert(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)) or (isinstance(value, (set, frozenset)) and not self._is_strict):
            return [self.convert(item, depth + 1) for item in value]
        if self._is_strict and isinstance(value, enum.Enum):
            return self.convert(value.value, depth + 1)
        if self._is_strict and dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: self.convert(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
        plain = value.tolist() if hasattr(value, "tolist") else value
        return self.convert(plain, depth + 1) if type(plain) is not type(value) else self._text(value)

    def _key(self, key):
        plain = key if isinstance(key, str) else self.convert(key, MAX_DEPTH)
        return plain if isinstance(plain, str) else json.dumps(plain)

    def _text(self, value):
        if self._is_strict and not isinstance(value, uuid.UUID):
            raise TypeError("no JSON for %s" % type(value).__name__)
        return str(value)
