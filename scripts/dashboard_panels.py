"""What each of Grafana's dashboards shows, and to whom; `scripts.dashboards` writes their files.

A panel is its title, what to read in it, its unit and its PromQL; what Grafana's JSON needs beside
that is the same for all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

WORK = 'route=~"/analyze|/v1/.+"'
"""Requests for work: no probes, no scrapes."""


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        title: what it shows.
        reading: how to read it.
        queries: legend to PromQL; `{{label}}` in a legend is filled in by Grafana.
        unit: Grafana's name of the unit.
        kind: Grafana's type of panel.
        width: columns out of 24.
        limit: where a line at a limit is drawn: the alert's threshold.
    """

    title: str
    reading: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    limit: float | None = None


@dataclass(frozen=True)
class Dashboard:
    """One audience's panels, in rows that have a title."""

    uid: str
    title: str
    about: str
    variables: Mapping[str, str]
    rows: Mapping[str, Sequence[Panel]]

    @property
    def panels(self) -> Iterator[Panel]:
        """All panels, row by row."""
        for row in self.rows.values():
            yield from row


def _quantile(share: float, bucket: str, window: str = "5m") -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({bucket}[{window}])))"


OPERATOR = Dashboard(
    uid="mentalllama-operator",
    title="MentalLLaMA: operator",
    about="Is it up, is it fast, is it full, whom does it turn away.",
    variables={},
    rows={
        "State": (
            Panel(
                "Instances that answer",
                "Prometheus reaches them; whether they take work is the next panel.",
                {"up": 'sum(up{job="mentalllama"})'},
                kind="stat",
                width=4,
            ),
            Panel(
                "Processes by phase",
                "All should be ready; draining ones are being replaced.",
                {"{{phase}}": "sum by (phase) (mentalllama_phase)"},
                kind="stat",
                width=8,
            ),
            Panel(
                "Alerts that fire",
                "Each has a part of its own in docs/operations.md.",
                {
                    "alerts": 'count(ALERTS{alertstate="firing",alertname=~"MentalLlama.+"})'
                    " or vector(0)"
                },
                kind="stat",
                width=4,
            ),
            Panel(
                "Posts a second",
                "Posts analysed, whatever was asked of each.",
                {"posts": "sum(rate(mentalllama_posts_total[5m]))"},
                unit="ops",
                width=8,
            ),
        ),
        "Answers": (
            Panel(
                "Requests by outcome",
                "refused is 429, 503 and 504: over a quota, or not now.",
                {
                    "{{outcome}}": "sum by (outcome) "
                    f"(rate(mentalllama_requests_total{{{WORK}}}[5m]))"
                },
                unit="reqps",
            ),
            Panel(
                "Share of requests that fail",
                "Server errors. The objective is at most 0.5% over 30 days; the line is the rate "
                "that pages.",
                {
                    "5 minutes": "job:mentalllama_requests_failed:ratio_rate5m",
                    "1 hour": "job:mentalllama_requests_failed:ratio_rate1h",
                    "6 hours": "job:mentalllama_requests_failed:ratio_rate6h",
                },
                unit="percentunit",
                limit=0.072,
            ),
            Panel(
                "Refusals by reason",
                "Quotas (rate, posts, concurrency limited) are the caller's; the others say that "
                "the service is full or not ready.",
                {
                    "{{code}}": "sum by (code) (rate(mentalllama_rejections_total"
                    '{code=~"rate_limited|posts_limited|concurrency_limited|overloaded|'
                    'deadline_unreachable|deadline_exceeded|not_ready"}[5m]))'
                },
                unit="reqps",
            ),
            Panel(
                "Other errors by code",
                "Callers' mistakes and the service's own (internal_error, engine_error).",
                {
                    "{{code}}": "sum by (code) (rate(mentalllama_rejections_total"
                    '{code!~"rate_limited|posts_limited|concurrency_limited|overloaded|'
                    'deadline_unreachable|deadline_exceeded|not_ready"}[5m]))'
                },
                unit="reqps",
            ),
            Panel(
                "Share refused",
                "The line is the alert's.",
                {"refused": "job:mentalllama_requests_refused:ratio_rate5m"},
                unit="percentunit",
                limit=0.05,
            ),
            Panel(
                "Share of clients that leave",
                "They closed the connection before the answer was complete.",
                {"left": "job:mentalllama_requests_cancelled:ratio_rate30m"},
                unit="percentunit",
                limit=0.2,
            ),
        ),
        "Time": (
            Panel(
                "Time to the first label",
                "From when a post's analysis begins. The line is the alert's.",
                {
                    "50%": _quantile(0.5, 'mentalllama_phase_seconds_bucket{phase="first_label"}'),
                    "95%": "job:mentalllama_first_label_seconds:p95_rate5m",
                    "99%": _quantile(0.99, 'mentalllama_phase_seconds_bucket{phase="first_label"}'),
                },
                unit="s",
                limit=2,
            ),
            Panel(
                "Time of a post's analysis",
                "Explanations are most of it.",
                {
                    "50%": _quantile(0.5, 'mentalllama_phase_seconds_bucket{phase="total"}'),
                    "95%": "job:mentalllama_analysis_seconds:p95_rate5m",
                },
                unit="s",
            ),
            Panel(
                "Mean time by phase",
                "Phases of different questions overlap, so they do not add up to the total.",
                {
                    "{{phase}}": "sum by (phase) (rate(mentalllama_phase_seconds_sum[5m])) / "
                    "sum by (phase) (rate(mentalllama_phase_seconds_count[5m]))"
                },
                unit="s",
            ),
        ),
        "Queue": (
            Panel(
                "Requests in flight and waiting",
                "Waiting ones stand in the service's own queue, by priority.",
                {
                    "in flight": "sum(mentalllama_requests_in_flight)",
                    "waiting, {{priority}}": "sum by (priority) (mentalllama_queued_requests)",
                },
            ),
            Panel(
                "Work in tokens",
                "Weighted tokens that wait, and that the engine was given.",
                {
                    "waiting": "sum(mentalllama_queued_tokens)",
                    "running": "sum(mentalllama_running_tokens)",
                },
            ),
            Panel(
                "Time in the queue",
                "How long requests waited that were started. The line is the alert's.",
                {"95%": "job:mentalllama_queue_seconds:p95_rate5m"},
                unit="s",
                limit=5,
            ),
        ),
        "Engine": (
            Panel(
                "Requests in the engine",
                "vLLM's own count: one for each label read and explanation.",
                {
                    "running, {{instance}}": "instance:vllm_requests_running:sum",
                    "waiting, {{instance}}": "instance:vllm_requests_waiting:sum",
                },
            ),
            Panel(
                "KV cache in use",
                "At 100% vLLM preempts requests. The line is the alert's.",
                {"{{instance}}": "instance:vllm_kv_cache_usage:max"},
                unit="percentunit",
                limit=0.9,
            ),
            Panel(
                "Tokens a second",
                "Prompt tokens include cached ones, which cost next to nothing.",
                {"{{kind}}": "sum by (kind) (rate(mentalllama_tokens_total[5m]))"},
            ),
            Panel(
                "Prefix cache hits",
                "Share of prompt tokens: all questions on one post share the post.",
                {"hits": "job:vllm_prefix_cache_hits:ratio_rate5m"},
                unit="percentunit",
            ),
            Panel(
                "Preemptions",
                "Requests that vLLM stopped and will compute again for want of memory.",
                {"{{instance}}": "sum by (instance) (rate(vllm:num_preemptions_total[5m]))"},
                unit="ops",
            ),
            Panel(
                "Silence of the engine",
                "Seconds for which it has had work and put nothing out.",
                {"{{instance}}": "max by (instance) (mentalllama_engine_silence_seconds)"},
                unit="s",
            ),
        ),
    },
)

MODEL_OWNER = Dashboard(
    uid="mentalllama-model-owner",
    title="MentalLLaMA: model owner",
    about="What the model answers, how sure it is, and whether either has changed.",
    variables={"question": "mentalllama_labels_total", "task": "mentalllama_confidence_count"},
    rows={
        "Labels": (
            Panel(
                "Answers a day by question",
                "Below 500 a day drift is not alerted on.",
                {"{{question}}": 'question:mentalllama_labels:increase1d{question=~"$question"}'},
            ),
            Panel(
                "Share of each label, last day",
                "Labels that were decided; abstentions are not counted.",
                {
                    "{{question}}: {{label}}": "question_label:mentalllama_labels:share_increase1d"
                    '{question=~"$question"}'
                },
                unit="percentunit",
            ),
            Panel(
                "Share of each label, baseline",
                "The stored baseline; empty where there is none.",
                {
                    "{{question}}: {{label}}": "max by (question, label) "
                    '(mentalllama_baseline_label_share{question=~"$question"})'
                },
                unit="percentunit",
            ),
            Panel(
                "Drift of the labels",
                "Total variation distance from the baseline: the share of answers that would have "
                "to change. The line is the alert's.",
                {
                    "{{question}}": "question:mentalllama_labels_drift:distance1d"
                    '{question=~"$question"}'
                },
                unit="percentunit",
                limit=0.2,
            ),
            Panel(
                "Abstentions",
                "Share of questions on which the decision policy abstained.",
                {
                    "{{question}}": "question:mentalllama_abstentions:ratio_increase1d"
                    '{question=~"$question"}'
                },
                unit="percentunit",
            ),
            Panel(
                "Texts that were not analysed",
                "Empty, too long, or failed.",
                {
                    "{{code}}": "sum by (code) (rate(mentalllama_rejections_total"
                    '{code=~"empty_text|text_too_long|engine_error|internal_error"}[1h]))'
                },
                unit="ops",
            ),
        ),
        "Confidence": (
            Panel(
                "Mean confidence, last day",
                "Calibrated probability of the decided label.",
                {"{{task}}": 'task:mentalllama_confidence:mean_increase1d{task=~"$task"}'},
                unit="percentunit",
            ),
            Panel(
                "Mean confidence, baseline",
                "The stored baseline; empty where there is none.",
                {"{{task}}": 'max by (task) (mentalllama_baseline_confidence{task=~"$task"})'},
                unit="percentunit",
            ),
            Panel(
                "Drift of the confidence",
                "Distance of the two means. The line is the alert's.",
                {"{{task}}": 'task:mentalllama_confidence_drift:distance1d{task=~"$task"}'},
                unit="percentunit",
                limit=0.1,
            ),
            Panel(
                "Distribution of the confidence",
                "Answers an hour by probability of the decided label.",
                {
                    "{{le}}": "sum by (le) "
                    '(increase(mentalllama_confidence_bucket{task=~"$task"}[1h]))'
                },
                kind="heatmap",
                width=12,
            ),
            Panel(
                "Distribution of the label mass",
                "Reads an hour by the share of the vocabulary's probability that the labels hold.",
                {
                    "{{le}}": "sum by (le) "
                    '(increase(mentalllama_label_mass_bucket{task=~"$task"}[1h]))'
                },
                kind="heatmap",
                width=12,
            ),
            Panel(
                "Mean label mass",
                "Near 1 for a model that was trained on the questions.",
                {"{{task}}": 'task:mentalllama_label_mass:mean_rate1h{task=~"$task"}'},
                unit="percentunit",
            ),
            Panel(
                "Reads with little label mass",
                "Half or less. The line is the alert's.",
                {"{{task}}": 'task:mentalllama_label_mass_low:ratio_rate1h{task=~"$task"}'},
                unit="percentunit",
                limit=0.2,
            ),
        ),
        "Explanations": (
            Panel(
                "Consistency",
                "Mean probability of the decided label when the explanation alone is read. The "
                "line is the alert's.",
                {"{{task}}": 'task:mentalllama_consistency:mean_increase1d{task=~"$task"}'},
                unit="percentunit",
                limit=0.7,
            ),
            Panel(
                "How explanations end",
                "length: cut off at the token limit.",
                {
                    "{{finish_reason}}": "sum by (finish_reason) "
                    "(rate(mentalllama_explanations_total[1h]))"
                },
                unit="ops",
            ),
            Panel(
                "Quotes for each explanation",
                "Quotes that were found in the post.",
                {
                    "quotes": "sum(rate(mentalllama_evidence_total[1h])) / "
                    "sum(rate(mentalllama_explanations_total[1h]))"
                },
            ),
        ),
    },
)

DASHBOARDS = (OPERATOR, MODEL_OWNER)
