"""Every Prometheus metric of the service. They appear on /metrics beside vLLM's own.

The gate counts requests (`service.gate.observe`) and refusals, each by its error's code
(`service.gate.shape`), and measures what waits (`service.gate.admission`); the HTTP layer hands
every finished analysis to `observe_analysis`. Label values come from closed sets: routes, outcomes,
codes, priorities, ids of tasks, questions and labels; never from a request: what a caller asks in
words of its own is counted as task `own`, and its answers not at all.

The phase `queue` is the longest wait of a post's label reads in the engine's queue; all of vLLM's
requests are in its own `vllm:request_queue_time_seconds`, and `vllm:num_requests_waiting` says how
much waits now.

Labels, tasks and reasons that are known beforehand are there from the start, at 0: a rate misses
the first increase of a series that begins with it, and a share is wrong without its zeros.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from imhi.tasks import QUESTIONS as ALL_QUESTIONS
from imhi.tasks import TASKS
from service.analysis.own import OWN_TASK
from service.analysis.types import Analysis, Answer, Timings
from service.baseline import Baseline

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_MASSES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)

REQUESTS = Counter(
    "mentalllama_requests",
    "Requests finished, by route (other: a path that is not exposed) and outcome "
    "(ok, refused with 429, 503 or 504, caller_error, server_error, cancelled).",
    ["route", "outcome"],
)
IN_FLIGHT = Gauge(
    "mentalllama_requests_in_flight",
    "Requests being answered now.",
    multiprocess_mode="livesum",
)
PHASE = Gauge(
    "mentalllama_phase",
    "Processes that serve HTTP, by phase (starting, warming, ready, draining, stopped, dead, "
    "stalled).",
    ["phase"],
    multiprocess_mode="livesum",
)
ENGINE_SILENCE = Gauge(
    "mentalllama_engine_silence_seconds",
    "Seconds for which the engine has had work and put nothing out; 0 when it has none.",
    multiprocess_mode="livemax",
)
CANCELLATIONS = Counter(
    "mentalllama_cancellations",
    "Requests whose client left before the answer was complete.",
    ["route"],
)
REJECTIONS = Counter(
    "mentalllama_rejections",
    "Requests, and single texts of a request, that were answered with an error, by its code.",
    ["code"],
)
QUEUED_REQUESTS = Gauge(
    "mentalllama_queued_requests",
    "Requests that wait in the gate to be started, by priority (interactive, bulk).",
    ["priority"],
    multiprocess_mode="livesum",
)
QUEUED_TOKENS = Gauge(
    "mentalllama_queued_tokens",
    "Their work, in weighted tokens.",
    multiprocess_mode="livesum",
)
RUNNING_TOKENS = Gauge(
    "mentalllama_running_tokens",
    "Work that the gate has let through and that is not finished, in weighted tokens.",
    multiprocess_mode="livesum",
)
SERVICE_RATE = Gauge(
    "mentalllama_service_rate_tokens_per_second",
    "Weighted tokens a second that the engine has been measured to do while work waited; 0 before "
    "any has.",
    multiprocess_mode="livesum",
)
QUEUE_SECONDS = Histogram(
    "mentalllama_queue_seconds",
    "Time that started requests had waited in the gate, by priority.",
    ["priority"],
    buckets=_SECONDS,
)
KEY_FILE_ERRORS = Counter(
    "mentalllama_key_file_errors",
    "Times that a changed file of keys could not be used; the keys stayed as they were.",
)
LIMIT_STORE_ERRORS = Counter(
    "mentalllama_limit_store_errors",
    "Times that Redis did not answer; limits were counted in the process meanwhile.",
)
PHASE_SECONDS = Histogram(
    "mentalllama_phase_seconds",
    "Wall-clock time of one post's analysis by phase (tokenize, queue, label_read, first_label, "
    "explanation, total). Phases of different questions overlap.",
    ["phase"],
    buckets=_SECONDS,
)
POSTS = Counter("mentalllama_posts", "Posts analysed.")
QUESTIONS = Counter("mentalllama_questions", "Questions answered, by task.", ["task"])
LABELS = Counter(
    "mentalllama_labels", "Labels decided (abstentions not counted).", ["question", "label"]
)
ABSTENTIONS = Counter(
    "mentalllama_abstentions", "Questions on which the policy abstained.", ["question"]
)
CONFIDENCE = Histogram(
    "mentalllama_confidence",
    "Calibrated probability of the decided label, or of the candidate where the policy abstained.",
    ["task"],
    buckets=_SHARES,
)
LABEL_MASS = Histogram(
    "mentalllama_label_mass",
    "Share of the vocabulary's probability that a question's labels hold together.",
    ["task"],
    buckets=_MASSES,
)
_REASONS = ("stop", "length", "repetition")
EXPLANATIONS = Counter(
    "mentalllama_explanations",
    "Explanations generated, by finish reason (stop, length, repetition, other).",
    ["finish_reason"],
)
EVIDENCE = Counter("mentalllama_evidence", "Quotes of explanations that were found in the post.")
CONSISTENCY = Histogram(
    "mentalllama_consistency",
    "Probability of the decided label when the explanation alone is read.",
    ["task"],
    buckets=_SHARES,
)
TOKENS = Counter(
    "mentalllama_tokens",
    "Tokens of engine requests: prompt (cached ones included), cached, completion.",
    ["kind"],
)
BASELINE_SHARE = Gauge(
    "mentalllama_baseline_label_share",
    "Share of a question's decided labels in the stored baseline; not there without one.",
    ["question", "label"],
    multiprocess_mode="max",
)
BASELINE_CONFIDENCE = Gauge(
    "mentalllama_baseline_confidence",
    "Mean probability of the decided label in the stored baseline; not there without one.",
    ["task"],
    multiprocess_mode="max",
)


def _begin_at_zero() -> None:
    for question in ALL_QUESTIONS.values():
        ABSTENTIONS.labels(question.id)
        for label in question.labels:
            LABELS.labels(question.id, label.id)
    for task in TASKS:
        for metric in (QUESTIONS, CONFIDENCE, LABEL_MASS, CONSISTENCY):
            metric.labels(task)
    for phase in ("tokenize", "queue", "label_read", "first_label", "explanation", "total"):
        PHASE_SECONDS.labels(phase)
    for reason in (*_REASONS, "other"):
        EXPLANATIONS.labels(reason)
    for kind in ("prompt", "cached", "completion"):
        TOKENS.labels(kind)
    for priority in ("interactive", "bulk"):
        QUEUED_REQUESTS.labels(priority)
        QUEUE_SECONDS.labels(priority)


_begin_at_zero()


def export_baseline(baseline: Baseline) -> None:
    """Show the stored baseline beside what is counted."""
    for question, shares in baseline.labels.items():
        for label, share in shares.items():
            BASELINE_SHARE.labels(question, label).set(share)
    for task, confidence in baseline.confidence.items():
        BASELINE_CONFIDENCE.labels(task).set(confidence)


def observe_analysis(analysis: Analysis) -> None:
    """Count one finished analysis of one post."""
    POSTS.inc()
    _observe_timings(analysis.timings)
    for answer in analysis.answers:
        _observe_answer(answer)
    TOKENS.labels("prompt").inc(analysis.usage.prompt_tokens)
    TOKENS.labels("cached").inc(analysis.usage.cached_tokens)
    TOKENS.labels("completion").inc(analysis.usage.completion_tokens)


def _observe_timings(timings: Timings) -> None:
    PHASE_SECONDS.labels("tokenize").observe(timings.tokenize)
    PHASE_SECONDS.labels("queue").observe(timings.queue)
    PHASE_SECONDS.labels("label_read").observe(timings.label_read)
    PHASE_SECONDS.labels("first_label").observe(timings.first_label)
    if timings.explanation:  # 0 says that there was none, not that it took no time
        PHASE_SECONDS.labels("explanation").observe(timings.explanation)
    PHASE_SECONDS.labels("total").observe(timings.total)


def _observe_answer(answer: Answer) -> None:
    question, decision = answer.question, answer.decision
    QUESTIONS.labels(question.task).inc()
    CONFIDENCE.labels(question.task).observe(decision.probability)
    LABEL_MASS.labels(question.task).observe(answer.distribution.label_mass)
    if question.task == OWN_TASK:
        pass
    elif decision.label is None:
        ABSTENTIONS.labels(question.id).inc()
    else:
        LABELS.labels(question.id, decision.label).inc()
    explanation = answer.explanation
    if explanation is None:
        return
    reason = explanation.finish_reason
    EXPLANATIONS.labels(reason if reason in _REASONS else "other").inc()
    EVIDENCE.inc(len(explanation.evidence))
    if explanation.consistency is not None:
        CONSISTENCY.labels(question.task).observe(explanation.consistency)
