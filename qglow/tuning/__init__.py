"""How products are cut into tiles, blocks and shares: a rule, a cost model learned from measurements, and choices that
were measured.

None of it changes a bit of any result.
"""

from .choose import schedule_policy
from .schedule import SchedulePolicy, default_schedule, schedule

__all__ = ["SchedulePolicy", "schedule_policy", "default_schedule", "schedule"]
