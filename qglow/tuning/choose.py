"""Which hints a product gets: those measured for it on this machine, else the cost model's where it promises enough,
else the rule's."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..errors import KernelError
from .schedule import Hints, ProductShape, SchedulePolicy, default_schedule
from .store import Tuning, load, path_of, priced

PROMISE = 0.95  # the model's choice is taken where it should take at most this part of the rule's time


def schedule_policy(isa: str) -> SchedulePolicy:
    """The way to choose for an instruction set, from the file that `qglow tune` wrote, if it did."""
    try:
        path = path_of(isa)
        return _kept(path, path.stat().st_mtime_ns, isa)
    except (OSError, KernelError):  # NOTE: a user without a home folder has no cache
        return default_schedule


@lru_cache(maxsize=4)
def _kept(path: Path, written: int, isa: str) -> SchedulePolicy:
    tuning = load(isa)
    return default_schedule if tuning is None else policy_of(tuning, isa)


def policy_of(tuning: Tuning, isa: str) -> SchedulePolicy:
    """The choices of a tuning."""
    from .cost import NAMES, CostModel  # NOTE: few machines have a tuning

    models = {t: CostModel(p) for t, p in tuning.coefficients.items() if len(p) == len(NAMES)}

    def choose(work: ProductShape, threads: int) -> Hints:
        measured = tuning.choices.get(str(threads), {}).get(work.key)
        if measured is not None:
            return measured
        usual = default_schedule(work, threads)
        model = models.get(priced(threads, work.is_float))
        if model is None:
            return usual
        best, seconds = model.best(work, threads, isa)
        return best if seconds < PROMISE * model.seconds(work, usual, threads, isa) else usual

    return choose
