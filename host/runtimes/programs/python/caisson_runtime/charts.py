"""What a matplotlib figure shows, as data: the charts of E2B's wire. Every member of a type is there; None stands for what is not set.

It reads what is drawn, for whoever wants to draw it again in another way. What it does not understand is `unknown`; the picture is there in any case.

Longer than files are here as a rule: one kind of chart after the other, and all of them read axes, ticks and labels in the same way.
"""

import datetime
import math
import re

import numpy
from matplotlib import category, dates, ticker
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.container import BarContainer, ErrorbarContainer, StemContainer
from matplotlib.lines import AxLine
from matplotlib.patches import Circle, PathPatch, Rectangle, Shadow, Wedge

from caisson_runtime import boxes

# Of one figure. With more, the picture has to do.
MAX_POINTS = 250_000
_UNIT = re.compile(r"(?:^|\s)\(([^()]+)\)|\[([^\[\]]+)\]")
_AUTOMATIC = re.compile(r"_(?:child|container)(\d+)")
_DATES = (dates.DateConverter, dates.ConciseDateConverter, dates._SwitchableDateConverter)
_NUMBERED = (ticker.ScalarFormatter, ticker.LogFormatter, ticker.LogitFormatter, dates.AutoDateFormatter, dates.DateFormatter)


class TooMany(Exception):
    """More points than are told."""


def chart(figure):
    """The chart of a figure; None when it has no axes."""
    try:
        axes = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
        if not axes:
            return None
        if len(axes) == 1:
            return _of_axes(axes[0], _Room())
        room = _Room()
        return {"type": "superchart", "title": _text(figure.get_suptitle()), "elements": [_of_axes(ax, room) for ax in axes]}
    except Exception:
        # It is about somebody's figure, which may be anything.
        return {"type": "unknown", "title": None, "elements": []}


class _Room:
    """How many points may still be told of."""

    def __init__(self):
        self._left = MAX_POINTS

    def take(self, count):
        self._left -= count
        if self._left < 0:
            raise TooMany


def _of_axes(ax, room):
    title = next((text for text in (ax.get_title(loc=loc) for loc in ("center", "left", "right")) if text), None)
    try:
        kind, members = _read(ax, room)
    except Exception:
        # One that cannot be read does not take its neighbours with it.
        kind, members = "unknown", {"elements": []}
    return {"type": kind, "title": title, **members}


def _read(ax, room):
    if ax.name == "3d":
        return "unknown", {"elements": []}
    lines, patches, collections, others = _drawn(ax)
    if not (lines or patches or collections or others):
        # As E2B has it. The axes tell something all the same, where a plot has failed half-way.
        return "line", {**_planar(ax), "elements": []}
    if others:
        return "unknown", {"elements": []}
    if patches and all(isinstance(patch, (Wedge, Circle, Shadow)) for patch in patches) and not lines and not collections:
        wedges = [patch for patch in patches if isinstance(patch, Wedge)]
        if wedges:
            return "pie", {"elements": [_slice(wedge) for wedge in wedges]}
    bars = [container for container in ax.containers if isinstance(container, BarContainer) and container.patches]
    if bars and _only_bars(ax, bars, lines, patches, collections):
        return "bar", _bars(ax, bars)
    if collections and not patches and all(isinstance(one, PathCollection) for one in collections):
        if all(_is_reference(ax, line) for line in lines):
            return "scatter", {**_planar(ax), "elements": _scatters(ax, collections, room)}
        return "unknown", {"elements": []}
    lines = [line for line in lines if _is_data(ax, line)]
    if lines and not collections and all(isinstance(patch, PathPatch) for patch in patches):
        found = boxes.find(lines, patches)
        if found is not None:
            return "box_and_whisker", _boxes(ax, *found)
    if lines and not patches and _are_beside_lines(lines, collections):
        return "line", {**_planar(ax), "elements": _lines(ax, lines, room)}
    return "unknown", {"elements": []}


def _drawn(ax):
    """Lines, patches, collections, and the rest. What only stands for something in the legend is left out."""
    lines = [line for line in ax.lines if len(line.get_xdata(orig=False)) > 0]
    patches = [patch for patch in ax.patches if not isinstance(patch, Rectangle) or patch.get_width() or patch.get_height()]
    if not lines and not patches and not ax.collections:
        lines, patches = ax.lines, ax.patches
    kinds = lines, patches, ax.collections, [*ax.images, *ax.tables, *ax.artists]
    return tuple([artist for artist in kind if artist.get_visible()] for kind in kinds)


def _is_data(ax, line):
    """False for axhline and the like."""
    return not isinstance(line, AxLine) and line.get_transform() == ax.transData


def _is_reference(ax, line):
    """Beside other data: a line that marks one value."""
    x, y = line.get_xdata(orig=False), line.get_ydata(orig=False)
    return not _is_data(ax, line) or (len(x) == 2 and (x[0] == x[1] or y[0] == y[1]))


def _are_beside_lines(lines, collections):
    """Bands and error bars; but an area with short strokes in it is another kind of plot (a violin)."""
    if not all(isinstance(one, (PolyCollection, LineCollection)) for one in collections):
        return False
    has_areas = any(isinstance(one, PolyCollection) for one in collections)
    return not has_areas or all(len(line.get_xdata(orig=False)) > 2 for line in lines)


# Members that several types have.


def _labels(ax, swapped=False):
    x, y = _text(ax.get_xlabel()), _text(ax.get_ylabel())
    if swapped:
        x, y = y, x
    return {"x_label": x, "y_label": y, "x_unit": _unit(x), "y_unit": _unit(y)}


def _planar(ax):
    members = _labels(ax)
    for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        ticks = [float(tick) for tick in axis.get_ticklocs()]
        scale = _scale(axis, ticks, labels)
        if scale == "datetime":
            ticks = [_date(axis, tick) for tick in ticks]
        members.update({name + "_ticks": ticks, name + "_tick_labels": labels, name + "_scale": scale})
    return members


def _scale(axis, ticks, labels):
    if _is_dated(axis):
        return "datetime"
    scale = axis.get_scale()
    if scale != "linear":
        return scale
    if isinstance(_converter(axis), category.StrCategoryConverter):
        return "categorical"
    # Names that somebody gave to 0, 1, 2...
    counted = len(ticks) > 0 and ticks == list(range(len(ticks))) and len(labels) == len(ticks)
    return "categorical" if counted and all(not _is_number(label) for label in labels) else "linear"


def _converter(axis):
    return axis.get_converter() if hasattr(axis, "get_converter") else axis.converter


def _is_dated(axis):
    converter = _converter(axis)
    if isinstance(converter, _DATES) or isinstance(axis.get_major_locator(), dates.DateLocator):
        return True
    kind = type(converter)
    return kind.__module__.startswith("pandas.") and kind.__name__ in ("DatetimeConverter", "PeriodConverter")


def _date(axis, number):
    """Where a number on an axis of dates lies in time. pandas counts the periods of its own frequency."""
    if not math.isfinite(number):
        return None
    if type(_converter(axis)).__name__ == "PeriodConverter":
        from pandas import Period

        return Period(ordinal=int(round(number)), freq=axis.freq).to_timestamp().isoformat()
    return dates.num2date(number).isoformat()


def _unit(label):
    found = _UNIT.search(label) if label else None
    return None if found is None else (found.group(1) or found.group(2))


def _text(text):
    return text or None


def _names(ax, artists, kind):
    """The labels that somebody gave them, or numbers."""
    labels = [str(artist.get_label()) for artist in artists]
    legend = ax.get_legend()
    if legend is not None and all(label.startswith("_") for label in labels):
        # It may have names of its own for them.
        named = [text.get_text() for text in legend.get_texts()]
        if len(named) == len(labels):
            return named
    return [_name(label, kind, position) for position, label in enumerate(labels)]


def _name(label, kind, position):
    if not label.startswith("_"):
        return label
    automatic = _AUTOMATIC.fullmatch(label)
    return "%s %s" % (kind, automatic.group(1) if automatic else position)


def _is_number(text):
    try:
        float(text.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return False
    return True


# Values.


def _values(axis, values):
    """Along an axis: numbers, dates in ISO, names of categories."""
    values = numpy.ma.asarray(values)
    if values.dtype.kind in "biuf":
        return _numbers(axis, values.astype(float).filled(math.nan).tolist())
    if values.dtype.kind == "M":
        values = values.astype("datetime64[us]")
    return [_value(value) for value in values.tolist()]


def _numbers(axis, numbers):
    if _is_dated(axis):
        return [_date(axis, number) for number in numbers]
    names = _categories(axis)
    return [names.get(number, number if math.isfinite(number) else None) for number in numbers]


def _categories(axis):
    units = getattr(axis, "units", None)
    return {float(at): name for name, at in units._mapping.items()} if isinstance(units, category.UnitData) else {}


def _value(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime.date):
        return value.isoformat()
    if hasattr(value, "to_timestamp"):
        return value.to_timestamp().isoformat()
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else None


# One function for each type.


def _lines(ax, lines, room):
    labelled, skipped = {}, set()
    for container in ax.containers:
        if isinstance(container, ErrorbarContainer):
            data, caps, _ = container
            skipped.update(map(id, caps))
            if data is not None:
                labelled[id(data)] = container
        elif isinstance(container, StemContainer):
            labelled[id(container.markerline)] = container
            skipped.add(id(container.baseline))
    lines = [line for line in lines if id(line) not in skipped]
    names = _names(ax, [labelled.get(id(line), line) for line in lines], "Line")
    elements = []
    for name, line in zip(names, lines):
        x, y = line.get_xdata(orig=True), line.get_ydata(orig=True)
        room.take(len(x))
        points = [list(point) for point in zip(_values(ax.xaxis, x), _values(ax.yaxis, y))]
        elements.append({"label": name, "points": points})
    return elements


def _scatters(ax, collections, room):
    elements = []
    for name, collection in zip(_names(ax, collections, "Scatter"), collections):
        offsets = collection.get_offsets()
        room.take(len(offsets))
        points = [list(point) for point in zip(_values(ax.xaxis, offsets[:, 0]), _values(ax.yaxis, offsets[:, 1]))]
        elements.append({"label": name, "points": points})
    return elements


def _only_bars(ax, bars, lines, patches, collections):
    rectangles = {id(patch) for container in bars for patch in container.patches}
    if not all(id(patch) in rectangles for patch in patches):
        return False
    errors = set()
    for container in ax.containers:
        if isinstance(container, ErrorbarContainer):
            data, caps, strokes = container
            errors.update(map(id, (data, *caps, *strokes)))
    return all(id(line) in errors or _is_reference(ax, line) for line in lines) and all(id(one) in errors for one in collections)


def _bars(ax, containers):
    elements = []
    lies = containers[0].orientation == "horizontal"
    axis = ax.yaxis if lies else ax.xaxis
    places = _Places(axis)
    for group, container in zip(_names(ax, containers, "Group"), containers):
        spans = [(bar.get_y(), bar.get_height()) if lies else (bar.get_x(), bar.get_width()) for bar in container.patches]
        ranges = _are_ranges(spans) and not places.given
        for bar, (start, width) in zip(container.patches, spans):
            value = float(bar.get_width() if lies else bar.get_height())
            label = "%g - %g" % (start, start + width) if ranges else places.at(start + width / 2)
            elements.append({"label": label, "group": group, "value": value if math.isfinite(value) else None})
    return {**_labels(ax, swapped=lies), "elements": elements}


def _are_ranges(spans):
    """Whether each begins where the one before it ends, as those of a histogram do."""
    following = list(zip(spans, spans[1:]))
    return bool(following) and all(math.isclose(start + width, after, abs_tol=abs(width) / 1e6) for (start, width), (after, _) in following)


class _Places:
    """What things that stand on an axis are called: as the tick nearby, or as the number where they stand."""

    def __init__(self, axis):
        self._axis = axis
        ticks = [float(tick) for tick in axis.get_ticklocs()]
        labels = [label.get_text() for label in axis.get_ticklabels()]
        self._ticks = list(zip(ticks, labels))
        distances = [abs(after - before) for before, after in zip(ticks, ticks[1:]) if after != before]
        self._reach = min(distances, default=1.0) / 2
        # Of an axis of dates, the bars' own dates are meant.
        self.given = _is_dated(axis) or not isinstance(axis.get_major_formatter(), _NUMBERED)

    def at(self, place):
        if _is_dated(self._axis):
            return _date(self._axis, place)
        if self.given:
            distance, label = min(((abs(tick - place), label) for tick, label in self._ticks), default=(math.inf, ""))
            if distance <= self._reach and label:
                return label
        return "%g" % place


def _slice(wedge):
    # matplotlib keeps the parts of the circle in single precision.
    angle = abs(round(float(wedge.theta2) - float(wedge.theta1), 4))
    return {"label": str(wedge.get_label()), "angle": angle, "radius": float(wedge.r)}


def _boxes(ax, found, lies):
    places = _Places(ax.yaxis if lies else ax.xaxis)
    elements = [{"label": places.at(box.place), **box.members()} for box in found]
    return {**_labels(ax, swapped=lies), "elements": elements}
