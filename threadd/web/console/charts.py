"""Small charts as SVG: shapes only, their colours come from the style sheet."""

from collections.abc import Sequence
from html import escape
from typing import Final

from markupsafe import Markup

_WIDTH: Final = 600
_HEIGHT: Final = 120
_LEGEND: Final = 18
_ROW: Final = 26


def lines(title: str, series: Sequence[tuple[str, Sequence[float]]], unit: str) -> Markup:
    """Values over time, one line a series.

    Args:
        title: What it shows, for those who cannot see it as well.
        series: The name and the values of each, the oldest first.
        unit: Of the values.
    """
    top = max((value for _, values in series for value in values), default=0.0) or 1.0
    shapes = []
    legend = []
    for number, (name, values) in enumerate(series):
        if len(values) > 1:
            step = _WIDTH / (len(values) - 1)
            points = " ".join(
                f"{position * step:.1f},{_HEIGHT - value / top * (_HEIGHT - 4):.1f}"
                for position, value in enumerate(values)
            )
            shapes.append(f'<polyline class="series series-{number}" points="{points}"/>')
        text = f"{escape(name)}: {values[-1] if values else 0.0:.3g} {escape(unit)}"
        legend.append(f'<text class="legend series-{number}" x="4" y="{14 + _LEGEND * number}">{text}</text>')
    summary = escape(f"{title}; at most {top:.3g} {unit}")
    above = _LEGEND * len(series)
    # The lines take the width there is; the words keep their size.
    drawn = (
        f'<svg y="{above}" width="100%" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'preserveAspectRatio="none">{"".join(shapes)}</svg>'
    )
    return _figure(summary, above + _HEIGHT, "".join(legend) + drawn)


def bars(title: str, values: Sequence[tuple[str, float, str]]) -> Markup:
    """Values beside each other.

    Args:
        title: What it shows.
        values: The name of each, its value, and the value as text.
    """
    top = max((value for _, value, _ in values), default=0.0) or 1.0
    shapes = []
    for number, (name, value, text) in enumerate(values):
        y = number * _ROW
        width = max(0.2, value / top * 100)
        shapes.append(f'<rect class="bar" x="0" y="{y + 2}" width="{width:.1f}%" height="{_ROW - 6}"/>')
        shapes.append(f'<text class="legend" x="6" y="{y + 17}">{escape(name)}: {escape(text)}</text>')
    return _figure(escape(title), max(1, len(values)) * _ROW, "".join(shapes))


def _figure(summary: str, height: int, shapes: str) -> Markup:
    # What goes in is numbers, and names that were escaped.
    return Markup(  # noqa: S704
        f'<svg class="chart" role="img" aria-label="{summary}" width="100%" height="{height}">'
        f"<title>{summary}</title>{shapes}</svg>"
    )
