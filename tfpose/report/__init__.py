"""Reports of PoseTrack figures as HTML pages that need nothing else: no network, no server, no other files.

`write_report` shows one set of figures, `write_comparison` what got better and worse between two, and `write_page` any
list of `Section`. Charts are drawn with matplotlib and pages filled in with Jinja; both are imported only when a page
is written, so that scoring without one stays fast. No TensorFlow.
"""

from tfpose.report.comparison import write_comparison
from tfpose.report.page import Card, Section, ShownTable, write_page
from tfpose.report.scores import write_report
from tfpose.report.svg import Chart

__all__ = ["Card", "Chart", "Section", "ShownTable", "write_comparison", "write_page", "write_report"]
