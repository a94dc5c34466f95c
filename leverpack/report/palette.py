"""The colours of page and pictures, once for light and once for dark paper."""

from __future__ import annotations

LIGHT = {
    "paper": "#ffffff", "card": "#f7f8fa", "ink": "#16202e", "soft": "#5b6676", "line": "#e3e7ed",
    "blue": "#2563c9", "green": "#128a5b", "red": "#cf3340", "amber": "#b97309", "grey": "#7c8797",
    "violet": "#7a4fc4", "teal": "#0e8a9a", "pink": "#bf3f86", "olive": "#7d8a12",
}  # fmt: skip
DARK = {
    "paper": "#10151d", "card": "#19202b", "ink": "#e4e9f0", "soft": "#98a4b5", "line": "#2b3442",
    "blue": "#6ea3ff", "green": "#3ecf95", "red": "#ff6b76", "amber": "#eab54e", "grey": "#8b98aa",
    "violet": "#b494f7", "teal": "#4cc9d8", "pink": "#f286bd", "olive": "#c3cf52",
}  # fmt: skip
SERIES_TONES = ("blue", "amber", "violet", "teal", "pink", "olive", "green", "red")
"""Tones of lines of one kind, such as the symbols of a run or the runs of a comparison."""


def root_css() -> str:
    """The colours as variables of a style sheet, dark where the screen is."""
    light, dark = (
        "".join(f"--{name}: {color}; " for name, color in tones.items()) for tones in (LIGHT, DARK)
    )
    return (
        f":root {{ {light}}}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}"
    )
