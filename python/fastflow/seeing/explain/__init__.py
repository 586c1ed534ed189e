"""Why a run was not faster: the account of its time, the causes, what to change."""

from fastflow.seeing.explain.answer import explain

__all__ = ["explain"]
