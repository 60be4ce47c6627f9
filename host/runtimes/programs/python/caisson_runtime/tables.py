"""Values as JSON: always valid, always bounded."""

import datetime
import math

MAX_ROWS = 10_000
MAX_COLUMNS = 500
MAX_DEPTH = 60
MAX_VALUES = 2_000_000


def table(frame):
    """A pandas frame as column name to values; None stands for what is missing."""
    head = frame.iloc[:MAX_ROWS, :MAX_COLUMNS]
    columns = {}
    for position, label in enumerate(head.columns):
        name = str(label)
        while name in columns:
            name += "."
        columns[name] = json_value(head.iloc[:, position].tolist())
    return columns


def json_value(value):
    """The nearest JSON value; text for what has none, or lies too deep."""
    return _Converter().convert(value, 0)


class _Converter:
    def __init__(self):
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
            return str(value)
        if isinstance(value, dict):
            return {str(key): self.convert(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.convert(item, depth + 1) for item in value]
        plain = value.tolist() if hasattr(value, "tolist") else value
        return self.convert(plain, depth + 1) if type(plain) is not type(value) else str(value)
