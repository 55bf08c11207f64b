"""The picture of a policy backtest, as the bytes of a PNG. Imported only where it is drawn."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from mlplatform.ml.backtest.result import Backtest, PolicyRun, ReplayedWindow
from mlplatform.ml.figure import DPI, MUTED, TEXT, WIDTH_INCHES, to_png

__all__ = ["plot_backtest"]

# Okabe and Ito (2008); what never trains is grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def plot_backtest(found: Backtest) -> bytes:
    """The metric over time for each policy, its retrainings below, and what it cost: labels as they came on top, as if
    known at once under it."""
    names = list(found.of(delayed=True))
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(n for n in names if n != "never")}
    colours["never"] = MUTED
    strip = 0.35 + 0.2 * len(names)
    figure = Figure(figsize=(WIDTH_INCHES, 4.1 + 2 * strip), dpi=DPI, layout="constrained")
    grid = figure.subplots(4, 2, width_ratios=[4, 1.3], height_ratios=[1.7, strip, 1.7, strip])
    figure.suptitle(f"{found.use_case}: {found.metric} by policy", x=0.01, ha="left", fontsize=TEXT + 1, weight="bold")
    for delayed, top in ((True, 0), (False, 2)):
        runs = found.of(delayed)
        for axes in grid[top]:
            _plain(axes)
        _metric(grid[top][0], runs, colours, "labels as they come" if delayed else "labels known at once")
        _bars(grid[top][1], [run.metric for run in runs.values()], runs, colours, "mean", "{:.3f}")
        for axes in grid[top + 1]:
            _plain(axes)
        _retrainings(grid[top + 1][0], runs, colours)
        trainings = [float(run.trainings) for run in runs.values()]
        _bars(grid[top + 1][1], trainings, runs, colours, "trainings", "{:.0f}")
    _share_y(grid[0][0], grid[2][0])
    return to_png(figure)


def _metric(axes: Axes, runs: Mapping[str, PolicyRun], colours: Mapping[str, str], title: str) -> None:
    for name, run in runs.items():
        ends = [_end(window) for window in run.windows]
        style = "--" if name == "never" else "-"
        values = [window.value for window in run.windows]
        axes.plot(ends, values, color=colours[name], linewidth=1.3, linestyle=style)
    axes.set_title(title, fontsize=TEXT, loc="left")
    axes.set_xlim(*_span(runs))
    axes.set_xticks(*_ticks(runs), visible=False)


def _retrainings(axes: Axes, runs: Mapping[str, PolicyRun], colours: Mapping[str, str]) -> None:
    """Full: the new model was promoted; hollow: the old one stayed; a cross: the one of before came back."""
    for place, (name, run) in zip(_places(runs), runs.items(), strict=True):
        trained = [window for window in run.windows if window.trained]
        faces = [colours[name] if window.promoted else "white" for window in trained]
        edges = [colours[name]] * len(trained)
        axes.scatter([_end(w) for w in trained], [place] * len(trained), s=18, c=faces, edgecolors=edges, linewidths=1)
        back = [_end(window) for window in run.windows if window.taken_back]
        axes.scatter(back, [place] * len(back), s=30, c=colours[name], marker="x", linewidths=1.4)
    axes.set_xlim(*_span(runs))
    axes.set_yticks(_places(runs), list(runs))
    axes.set_ylim(0.3, len(runs) + 0.7)
    axes.set_xticks(*_ticks(runs))
    axes.set_xlabel("retrainings: full promoted, hollow refused; cross: rolled back", fontsize=TEXT - 1)


def _bars(
    axes: Axes,
    values: Sequence[float],
    runs: Mapping[str, PolicyRun],
    colours: Mapping[str, str],
    title: str,
    form: str,
) -> None:
    axes.barh(_places(runs), values, color=[colours[name] for name in runs], height=0.65)
    axes.set_title(title, fontsize=TEXT, loc="left")
    axes.set_yticks([])
    axes.set_xticks([])
    axes.set_ylim(0.3, len(runs) + 0.7)
    axes.set_xlim(min(0.0, *values), 1.5 * max([*values, 1e-9]))
    axes.grid(visible=False)
    for place, value in zip(_places(runs), values, strict=True):
        start = (max(value, 0.0), place)
        axes.annotate(form.format(value), start, (3, 0), textcoords="offset points", va="center", fontsize=TEXT - 1)


def _share_y(*both: Axes) -> None:
    """With and without delay are read against each other."""
    edges = [axes.get_ylim() for axes in both]
    for axes in both:
        axes.set_ylim(min(low for low, _ in edges), max(high for _, high in edges))


def _places(runs: Mapping[str, PolicyRun]) -> list[int]:
    return list(range(len(runs), 0, -1))


def _span(runs: Mapping[str, PolicyRun]) -> tuple[float, float]:
    """From the first window's end to the last one's, with room for a mark."""
    windows = next(iter(runs.values())).windows
    room = (_end(windows[-1]) - _end(windows[0])) / 40
    return _end(windows[0]) - room, _end(windows[-1]) + room


def _ticks(runs: Mapping[str, PolicyRun]) -> tuple[list[float], list[str]]:
    windows = next(iter(runs.values())).windows
    chosen = windows[:: max(1, -(-len(windows) // 5))]
    return [_end(window) for window in chosen], [f"{window.end:%d %b}" for window in chosen]


def _end(window: ReplayedWindow) -> float:
    return float(date2num(window.end.to_pydatetime()))


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TEXT - 1)
    axes.grid(color="#E6E6E6", linewidth=0.7)
    axes.set_axisbelow(True)
