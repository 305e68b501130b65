"""One figure of a report, and the words in it."""

from xml.etree import ElementTree

from spikeport.sim.report import Report, figures

SVG = "{http://www.w3.org/2000/svg}"


def draw(report: Report, key: str) -> figures.Drawing:
    return figures.render(next(sketch for sketch in figures.sketches(report) if sketch.key == key))


def words(drawing: figures.Drawing) -> list[str]:
    root = ElementTree.fromstring(drawing.svg)
    assert root.tag == f"{SVG}svg"
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


def keys(report: Report) -> list[str]:
    return [sketch.key for sketch in figures.sketches(report)]
