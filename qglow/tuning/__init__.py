"""How products are cut into tiles, blocks and shares: a rule, a cost model learned from measurements, and choices that were measured.

None of it changes a bit of any result.
"""

from .choose import chooser
from .schedule import Chooser, rule, schedule

__all__ = ["Chooser", "chooser", "rule", "schedule"]
