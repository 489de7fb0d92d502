"""Words of the Amazon States Language, for who writes them into a workflow of the manifest."""

from __future__ import annotations

from portafaas.manifest.text import Path
from portafaas.manifest.validate import Problem

_FILE = "a machine in the Amazon States Language is a file of its own: 'file: NAME.asl.json'"
_STEP = (
    "that is of the Amazon States Language: here a step is 'task: FUNCTION', or one of the others; "
    "'portafaas workflow import' writes a machine as steps"
)
#: Its word -> what is said instead.
_WORDS = {
    **dict.fromkeys(("StartAt", "States", "QueryLanguage"), _FILE),
    **dict.fromkeys(("Type", "Resource", "Pass", "Task"), _STEP),
    "Parameters": "'input'; a text that is a path is one, without '.$'",
    "InputPath": "'input: $.path'",
    "ResultPath": "'result'",
    "ResultSelector": "'select'",
    "OutputPath": "a step 'set: $.path' behind it",
    "Result": "a step 'set: VALUE'",
    "TimeoutSeconds": "'timeout'",
    "Branches": "'parallel: {NAME: {steps}}'",
    "Choices": "'choice: [{when, next}]'",
    "ItemsPath": "'items'",
    "ItemSelector": "'each'",
    **dict.fromkeys(("ItemProcessor", "Iterator"), "'steps'"),
    "MaxConcurrency": "'concurrency'",
    "ErrorEquals": "'errors'",
    "MaxAttempts": "'attempts', which counts the first one, too",
    "IntervalSeconds": "'initial'",
    "BackoffRate": "'factor'",
    "MaxDelaySeconds": "'max'",
    "JitterStrategy": "'jitter: true'",
    "Variable": "'when: {$.path: {operator: value}}'",
    "SecondsPath": "'seconds: $.path'",
    **dict.fromkeys(("Timestamp", "TimestampPath"), "'until'"),
    **dict.fromkeys(("ErrorPath", "CausePath"), "'error' and 'cause' take paths"),
    "Comment": "a comment: '# ...'",
    **dict.fromkeys(("Assign", "Output", "Arguments"), "there is no JSONata and no variable"),
}


def _said(words: str | None) -> str | None:
    return f"here it is {words}" if words and words.startswith("'") else words


def with_hints(problems: list[Problem], prefix: Path = ()) -> list[Problem]:
    """Return *problems* with hints for such words; *prefix* is what their paths begin with."""
    return [
        (code, path, message, _said(_WORDS.get(str(path[-1]))) or hint)
        if code == "PF1002" and (*prefix, *path)[:1] == ("workflows",)
        else (code, path, message, hint)
        for code, path, message, hint in problems
    ]
