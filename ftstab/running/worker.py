"""What a worker does with a job: hands it to whoever does such jobs, says how it ended, and gives the memory back.

Writes nothing into the store itself.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable

import torch

from ftstab.errors import FtstabError, StoreError
from ftstab.plan import Job
from ftstab.running.at_work import AtWork, StopAskedError
from ftstab.running.confirming import Confirmer
from ftstab.running.launcher import Context, Event
from ftstab.running.topping_up import ToppingUp
from ftstab.running.trainer import Trainer


def run_job(context: Context, job: Job, emit: Callable[[Event], None]) -> None:
    """Bring ``job`` to its end, or as far as a stop request allows; every setting is stored as soon as it is known.

    A job that confirms is `Confirmer`'s, one that tops up from kept weights `ToppingUp`'s, any other `Trainer`'s.

    What can't be mended by trying again is said by a ``failed`` event.  What can (a lost store, no memory) is
    raised.
    """
    worker: AtWork
    if job.confirms is not None:
        worker = Confirmer(context, job, emit)
    elif job.tops_up is not None and not job.restores:
        worker = ToppingUp(context, job, emit)
    else:
        worker = Trainer(context, job, emit)
    try:
        worker.run()
    except StopAskedError:
        emit(Event("stopped", job.key))
    except StoreError:
        raise
    except FtstabError as error:
        emit(Event("failed", job.key, message=str(error)))
    seconds = worker.clock.reading()
    del worker
    _give_memory_back()
    emit(Event("worked", job.key, seconds=seconds))


def _give_memory_back() -> None:
    """Free what the job used: models and optimizers hold circles of references, and glibc keeps what was freed.

    The next job runs in another thread, to which glibc would not lend it: 4.1 GB of a 135M model's job stay without
    the trim, 0.7 GB with it.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
    # What the allocator keeps of a GPU is lost to the other workers on it.
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
