"""The boxes of a box plot, found again among the lines and shapes that were drawn for them: matplotlib keeps nothing else of them."""

import math

import numpy

# Vertices of the outline, and of one with notches; a shape repeats the first of them once more.
_PLAIN, _NOTCHED = (5, 6), (11, 12)


class _Box:
    """`across` is where it stands, `along` what it tells."""

    def __init__(self, across, along):
        self.left, self.right = float(across.min()), float(across.max())
        self.first, self.third = sorted((float(along[0]), float(along[5 if len(along) in _NOTCHED else 2])))
        self._low, self._high = self.first, self.third
        self._levels = []
        self._loose = []

    @property
    def place(self):
        return (self.left + self.right) / 2

    def is_like(self, other):
        return (self.left, self.right, self.first, self.third) == (other.left, other.right, other.first, other.third)

    def take(self, across, along, is_drawn):
        """Whether that is a part of it: a whisker, a cap, the median or mean, outliers."""
        slack = (self.right - self.left) * 1e-6
        if (across < self.left - slack).any() or (across > self.right + slack).any():
            return False
        if not is_drawn:
            self._loose.append([float(value) for value in along if math.isfinite(value)])
        elif len(across) != 2:
            return False
        elif along[0] == along[1]:
            self._levels.append((float(along[0]), abs(float(across[1] - across[0])) > (self.right - self.left) * 0.9))
        elif across[0] == across[1]:
            self._low, self._high = min(self._low, *map(float, along)), max(self._high, *map(float, along))
        else:
            return False
        return True

    def median(self):
        """Goes across the whole box, or across its notch. There may be a cap on the edge of the box, and a mean, which comes later."""
        inside = [level for level in self._levels if self.first <= level[0] <= self.third]
        whole = [value for value, is_whole in inside if is_whole]
        notch = [value for value, _ in inside if value not in (self._low, self._high)] or [value for value, _ in inside[-1:]]
        return (whole or notch or [None])[0]

    def members(self):
        outliers = []
        for values in self._loose:
            beyond = [value for value in values if value < self._low or value > self._high]
            # The same, when a plot was drawn twice.
            if beyond != outliers:
                outliers += beyond
        quartiles = {"first_quartile": self.first, "median": self.median(), "third_quartile": self.third}
        return {"min": self._low, **quartiles, "max": self._high, "outliers": outliers}


def find(lines, patches):
    """The boxes, and whether they lie; None when something was drawn that belongs to none."""
    for lies in (False, True):
        found = _read(lines, patches, lies)
        if found:
            return found, lies
    return None


def _read(lines, patches, lies):
    drawn = [(_points(line.get_xdata(orig=False), line.get_ydata(orig=False), lies), line) for line in lines]
    outlines = [points for points, _ in drawn if _is_outline(points)]
    shapes = [_points(*patch.get_path().vertices.T, lies) for patch in patches]
    boxes = []
    for across, along in shapes or outlines:
        if len(across) not in (*_PLAIN, *_NOTCHED):
            return None
        box = _Box(across, along)
        if not any(box.is_like(other) for other in boxes):
            boxes.append(box)
    for (across, along), line in drawn:
        is_drawn = line.get_linestyle() not in ("None", "none", " ", "")
        if len(across) == 0 or (is_drawn and _is_outline((across, along))):
            continue
        if not any([box.take(across, along, is_drawn) for box in boxes]):
            return None
    return boxes if all(box.median() is not None for box in boxes) else None


def _points(x, y, lies):
    x, y = numpy.asarray(x, dtype=float), numpy.asarray(y, dtype=float)
    return (y, x) if lies else (x, y)


def _is_outline(points):
    across, along = points
    if len(across) not in (_PLAIN[0], _NOTCHED[0]) or across[0] != across[-1] or along[0] != along[-1]:
        return False
    return along[0] == along[1] and across[1] == across[2]
