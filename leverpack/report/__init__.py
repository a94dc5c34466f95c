"""From a result to what a person opens: JSON, CSV, a picture and a page."""

from __future__ import annotations

from leverpack.report.summary import summary_rows
from leverpack.report.tables import to_json_dict
from leverpack.report.write import write_report

__all__ = ["summary_rows", "to_json_dict", "write_report"]
