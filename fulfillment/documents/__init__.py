"""What the warehouse prints: labels and packing slips, one or many in one PDF.

Pure functions: they take what is to be printed, and know no table, no setting and no carrier.
"""

from fulfillment.documents.labels import Label, print_labels
from fulfillment.documents.slips import PackingSlip, SlipLine, print_slips

__all__ = ["Label", "PackingSlip", "SlipLine", "print_labels", "print_slips"]
