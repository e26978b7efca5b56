"""Line plots as SVG, in colours that are legible on white and on black."""
import math
from html import escape

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 44, 48  # margins; names of the curves may reach into the right one
COLOURS = ["#2f81f7", "#d97706", "#2da44e", "#a371f7"]
LABEL_HEIGHT = 18
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #768390 }
  .grid { stroke: #768390; stroke-opacity: 0.3 }
  .axis { stroke: #768390 }
"""
Curve = list[tuple[float, float]]


def tick_step(largest: float) -> float:
    """1, 2 or 5 times a power of ten, so that about five of it reach `largest`."""
    power = 10 ** math.floor(math.log10(largest / 5))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= largest / 5)


def spread(places: list[float]) -> list[float]:
    """Moves labels down until none covers the next one above it; in the order given."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for above, below in zip(order, order[1:]):
        moved[below] = max(moved[below], moved[above] + LABEL_HEIGHT)
    return moved


def line_plot(title: str, x_name: str, y_name: str, curves: dict[str, Curve], x_ticks: list[float],
              doubling: bool = False) -> str:
    """With `doubling`, each doubling of x is a step of the same width. The y axis begins at 0."""
    def scale(x: float) -> float:
        return math.log2(x) if doubling else x

    largest = max(y for curve in curves.values() for _, y in curve)
    step = tick_step(largest)
    top = step * math.ceil(largest / step)
    first, last = scale(min(x_ticks)), scale(max(x_ticks))

    def place(x: float, y: float) -> tuple[float, float]:
        return (LEFT + (scale(x) - first) / (last - first) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM))

    def text(x: float, y: float, anchor: str, words: str, attributes: str = "") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>{escape(words)}</text>'

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
           f'height="{HEIGHT}" role="img">', f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>",
           text(LEFT, TOP - 20, "start", y_name),
           text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "middle", x_name)]
    for i in range(round(top / step) + 1):
        y = place(x_ticks[0], i * step)[1]
        out += [f'<line class="{"grid" if i > 0 else "axis"}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
                text(LEFT - 8, y + 4, "end", f"{i * step:g}")]
    for tick in x_ticks:
        out.append(text(place(tick, 0)[0], HEIGHT - BOTTOM + 20, "middle", f"{tick:g}"))
    labels = spread([place(*curve[-1])[1] for curve in curves.values()])
    for (name, curve), colour, label in zip(curves.items(), COLOURS, labels):
        points = [place(x, y) for x, y in curve]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        out.append(text(points[-1][0] + 8, label - 6, "start", name, f' style="fill: {colour}"'))
    return "\n".join(out + ["</svg>"]) + "\n"
