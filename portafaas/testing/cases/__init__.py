"""The cases, in neutral terms; their names are stable and unique."""

from portafaas.testing.cases.events import EVENT_CASES
from portafaas.testing.cases.http import HTTP_CASES
from portafaas.testing.cases.messages import MESSAGE_CASES
from portafaas.testing.cases.model import Case, Observation, problems
from portafaas.testing.cases.replies import REPLY_CASES
from portafaas.testing.cases.tasks import TASK_CASES

CASES: tuple[Case, ...] = (
    *HTTP_CASES,
    *REPLY_CASES,
    *MESSAGE_CASES,
    *EVENT_CASES,
    *TASK_CASES,
)

__all__ = ["CASES", "Case", "Observation", "problems"]
