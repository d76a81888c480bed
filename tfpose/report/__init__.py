"""Reports of PoseTrack metrics as HTML pages that need no network, no server and no other files.

`write_report` shows one set of metrics, `write_comparison` what got better and worse between two sets, and `write_page`
any list of `Section`. Matplotlib draws the charts and Jinja fills in the pages; both are imported when a page is
written, so that scoring without a page stays fast. No TensorFlow.
"""

from tfpose.report.comparison import write_comparison
from tfpose.report.page import Card, Section, ShownTable, write_page
from tfpose.report.scores import write_report
from tfpose.report.svg import Chart

__all__ = ["Card", "Chart", "Section", "ShownTable", "write_comparison", "write_page", "write_report"]
