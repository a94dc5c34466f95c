"""``leverpack strategies`` and ``leverpack new-strategy``: what there is, and how to add one."""

from __future__ import annotations

import json
import keyword
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from leverpack.errors import SettingError, nearest
from leverpack.files import put_text


def strategies(
    name: Annotated[str | None, typer.Argument(help="One strategy, with its parameters.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the pack's strategies, or one with its parameters, defaults and units."""
    from strategies import STRATEGIES

    if name is not None and name not in STRATEGIES:
        hint = nearest(name, STRATEGIES, f"there are {', '.join(STRATEGIES)}")
        raise SettingError(f"no strategy is called {name!r}; {hint}")
    chosen = {name: STRATEGIES[name]} if name else STRATEGIES
    if as_json:
        shown = [
            {"name": n, "class": c.__name__, "about": _about(c), "parameters": _parameters(c)}
            for n, c in chosen.items()
        ]
        typer.echo(json.dumps(shown, indent=2))
        return
    from leverpack.cli.table import print_table

    if name is None:
        print_table(
            "strategies (leverpack strategies NAME shows the parameters)", ("name", "about"),
            [(n, _about(c)) for n, c in chosen.items()],
        )  # fmt: skip
        return
    kind = chosen[name]
    print_table(
        f"{kind.__name__}: {_about(kind)}", ("parameter", "default", "unit"),
        [(p["name"], p["default"], p["unit"]) for p in _parameters(kind)],
    )  # fmt: skip


def _about(kind: type) -> str:
    return (kind.__doc__ or "").split("\n")[0]


def _parameters(kind: Any) -> list[dict[str, str]]:
    from strategies.units import UNITS

    return [
        {"name": name, "default": str(value), "unit": UNITS.get(name, "")}
        for name, value in kind.params._getitems()
    ]


def new_strategy(
    name: Annotated[str, typer.Argument(help="Such as golden_cross.")],
    folder: Annotated[Path, typer.Option(help="Where to write the two files.")] = Path("."),
) -> None:
    """Write NAME.py, a strategy that runs, and test_NAME.py beside it."""
    snake = re.sub(r"[^0-9a-zA-Z]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower()
    snake = snake.strip("_").removesuffix("_strategy")
    if not snake.isidentifier() or keyword.iskeyword(snake):
        raise SettingError(f"new-strategy {name!r}: a name is made of letters, digits and _")
    targets = {
        folder / f"{snake}.py": "strategy.py.j2", folder / f"test_{snake}.py": "test.py.j2",
    }  # fmt: skip
    for path in targets:
        if path.exists():
            raise SettingError(f"{path} exists already; choose another name or remove it")
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(  # Python source, not HTML
        loader=PackageLoader("leverpack.cli", "new"), undefined=StrictUndefined,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    camel = "".join(part.capitalize() for part in snake.split("_"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, template in targets.items():
            text = pages.get_template(template).render(snake=snake, kind=f"{camel}Strategy")
            put_text(path, text)
    except OSError as fault:
        raise SettingError(f"--folder {folder}: cannot be written ({fault.strerror})") from fault
    first, second = targets
    typer.echo(f"{first}: run it with  leverpack backtest --strategy {first} --data CANDLES.csv")
    typer.echo(f"{second}: run it with  python -m pytest {second}")
