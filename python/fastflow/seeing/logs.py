"""A filter that puts the ids of runs and tasks on log records."""

from __future__ import annotations

import logging

from fastflow.base.log_ids import NAMES, NOBODY, ids_here

__all__ = ["LogFilter"]


class LogFilter(logging.Filter):
    """Puts ``fastflow_run``, ``fastflow_task``, ``fastflow_attempt`` on log records.

    It belongs on a handler, and lets all records pass, those of any logger.  Each gets
    the attributes, so that a format may name them: None where there is nothing to say.

    ``fastflow_run`` is the id of a run (of durable functions, the name of an
    execution), ``fastflow_task`` the name of the task, step or operation whose function
    has logged, ``fastflow_attempt`` counts from 1.  They are looked up when a record
    comes, so what does not log pays nothing.  In threads and ``asyncio`` tasks that a
    function starts by itself they are not known.

    Examples
    --------
    >>> import logging
    >>> handler = logging.StreamHandler()
    >>> handler.addFilter(LogFilter())
    >>> handler.setFormatter(
    ...     logging.Formatter("%(fastflow_run)s %(fastflow_task)s: %(message)s")
    ... )
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is missing."""
        there = vars(record)
        if NAMES[0] not in there:  # else whoever made it knew
            try:
                ids = ids_here()
            except Exception:  # a record is not to be lost
                ids = NOBODY
            there.update(zip(NAMES, ids, strict=True))
        return True
