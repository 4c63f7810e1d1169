"""From a run to a bundle that has proved itself."""

from edgedl.export.options import ExportOptions
from edgedl.export.pipeline import export

__all__ = ["ExportOptions", "export"]
