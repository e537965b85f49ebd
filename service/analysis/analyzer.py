"""The Analyzer: one loaded model that answers questions on posts.

A post is tokenized once and fans out to all its questions. Each question goes its own way: label
reads, calibration, decision, explanation, evidence and consistency; the engine batches whatever is
in flight, of one post or of many. Events leave in the order in which they happen, the completed
analysis in the order in which the questions were asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from imhi.tasks import QUESTIONS, Question
from service.analysis.asked import Asked, AskedQuestions
from service.analysis.calibration import Calibration
from service.analysis.decision import decide, merge
from service.analysis.engine import Engine, RequestContext, TokenRead
from service.analysis.evidence import find_evidence
from service.analysis.manifest import Manifest
from service.analysis.prompt import PromptEncoder
from service.analysis.quotation import quote_grammar
from service.analysis.truncation import Fitted, fit
from service.analysis.types import (
    Analysis,
    Answer,
    Completed,
    DecisionPolicy,
    Distribution,
    Event,
    Explain,
    Explanation,
    ExplanationDelta,
    Labelled,
    Options,
    Response,
    Scoring,
    Timings,
    Usage,
)
from service.errors import (
    EmptyTextError,
    InvalidRequestError,
    UnknownNameError,
)
from service.spans import phase, span

_LONG_TEXT = 1_500
"""Characters from which on tokenizing takes longer than going to a thread and back: half a
millisecond, for which nobody else would be served."""
_WARMUP_POST = "Today was long and I am glad that it is over. Tomorrow I see my sister."


@dataclass(slots=True)
class _Run:
    """One analysis while it runs: its inputs, its events and what it has measured."""

    text: str
    seen: str  # what the model sees of the text
    shared: tuple[int, ...]
    options: Options
    context: RequestContext
    policy: DecisionPolicy
    started: float
    events: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)
    usage: Usage = field(default_factory=Usage)
    queued: float = 0.0
    read_from: float = 0.0
    first_label_at: float = 0.0
    last_label_at: float = 0.0
    explained_from: float = 0.0
    last_explained_at: float = 0.0


class Analyzer:
    """Answers questions on posts with one model.

    Args:
        engine: the model's engine.
        tokenizer: the model's Hugging Face tokenizer.
        manifest: what the model says of itself.
        model_name: the name under which it is served.
        policy: the deployment's decision policy; it wins over the manifest's.

    Raises:
        ModelError: a question's labels cannot be told apart in the model's tokens, the chat
            template is missing, or the context is too short for a question.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Any,
        manifest: Manifest,
        model_name: str,
        policy: DecisionPolicy | None = None,
    ) -> None:
        self._engine = engine
        self._encoder = PromptEncoder(tokenizer, manifest.prompt_style)
        self._long_encoder = PromptEncoder(tokenizer, manifest.prompt_style)
        self._long_texts = ThreadPoolExecutor(1, "long-texts")
        self._calibration = manifest.to_calibration()
        self._policy = merge(manifest.to_policy(), policy)
        self._manifest = manifest
        self._model_name = model_name
        self._asked = AskedQuestions(
            self._encoder, self._long_encoder, self._long_texts, engine.max_model_len
        )

    @property
    def model_name(self) -> str:
        """The name under which the model is served."""
        return self._model_name

    @property
    def manifest(self) -> Manifest:
        """What the model says of itself."""
        return self._manifest

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the LoRA adapters that `Options.adapter` may take."""
        return self._engine.adapters

    async def warm(self) -> None:
        """Read every question once, so that no caller pays for first-time work in the engine."""
        options = Options(explain=Explain.ALWAYS, explanation_tokens=4)
        await self.analyze(_WARMUP_POST, tuple(QUESTIONS.values()), options, "warm-up")

    async def analyze(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> Analysis:
        """Answer `questions` on `text`; see `stream` for what it raises."""
        async with aclosing(self.stream(text, questions, options, request_id)) as events:
            async for event in events:
                if isinstance(event, Completed):
                    return event.analysis
        raise AssertionError("a stream always ends with Completed or raises")

    async def stream(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> AsyncGenerator[Event, None]:
        """Answer `questions` on `text`, event by event; the last is `Completed`.

        The questions are the benchmark's or a caller's own (`service.analysis.own`), with ids that
        are unique among them.

        Closing the generator stops all of its work in the engine.

        Raises:
            EmptyTextError: the text is blank.
            TextTooLongError: it does not fit and may not be cut.
            InvalidRequestError: it is not valid Unicode, no question is asked, or a caller's own
                question cannot be asked of this model or in this way.
            UnknownNameError: the adapter does not exist.
            OverloadedError, EngineError: from the engine.
        """
        started = time.perf_counter()
        with span("tokenize"):
            asked = await self._asked.of(questions)
            fitted, shared = await self._prepare(text, asked, options)
        run = _Run(
            text=text,
            seen=fitted.text,
            shared=shared,
            options=options,
            context=RequestContext(request_id, options.adapter, options.cache_salt),
            policy=merge(self._policy, options.policy),
            started=started,
        )
        run.read_from = time.perf_counter()
        work = [asyncio.create_task(self._answer(run, one)) for one in asked]
        for task in work:
            task.add_done_callback(lambda _: run.events.put_nowait(None))
        try:
            running = len(work)
            while running:
                event = await run.events.get()
                if event is not None:
                    yield event
                    continue
                running -= 1
                for task in work:
                    if task.done() and (error := task.exception()) is not None:
                        raise error
            answers = tuple(task.result() for task in work)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        yield Completed(Analysis(answers, fitted.cuts, run.usage, _timings(run)))

    async def respond(
        self, text: str, question: Question, options: Options, request_id: str
    ) -> Response:
        """Let the model write its whole response to one question, label and explanation.

        The paper's way, for comparison; the service never decides by it. Of `options` the token
        limit (`explanation_tokens`), the truncation, the adapter and the salt count.

        Raises:
            As `stream`.
        """
        options = replace(options, explain=Explain.ALWAYS)
        (asked,) = await self._asked.of((question,))
        fitted, shared = await self._prepare(text, (asked,), options)
        written, finish_reason, tokens = "", "length", 0
        chunks = self._engine.generate(
            shared + asked.tail.tokens,
            options.explanation_tokens,
            RequestContext(request_id, options.adapter, options.cache_salt),
            f"{question.id}-response",
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                written += chunk.text
                tokens = chunk.tokens
                finish_reason = chunk.finish_reason or finish_reason
        return Response(written.strip(), finish_reason, tokens, fitted.cuts)

    async def _prepare(
        self, text: str, asked: Sequence[Asked], options: Options
    ) -> tuple[Fitted, tuple[int, ...]]:
        """Check what is asked, cut the post to size and make the tokens that all questions share.

        A long post goes to a thread, where the tokenizer leaves the interpreter to others, one at a
        time, with an encoder of its own, since a tokenizer's state is not to be shared.
        """
        if len(text) <= _LONG_TEXT:
            return self._fit(self._encoder, text, asked, options)
        return await asyncio.get_running_loop().run_in_executor(
            self._long_texts, self._fit, self._long_encoder, text, asked, options
        )

    def _fit(
        self,
        encoder: PromptEncoder,
        text: str,
        asked: Sequence[Asked],
        options: Options,
    ) -> tuple[Fitted, tuple[int, ...]]:
        if not asked:
            raise InvalidRequestError("No question is asked. Name at least one.", param="tasks")
        if any(options.scoring not in one.tries for one in asked):
            raise InvalidRequestError(
                "Only the benchmark's questions can be scored by their sentences.", param="scoring"
            )
        if not text.strip():
            raise EmptyTextError("The text is empty. Send at least one word.", param="text")
        if options.adapter is not None and options.adapter not in self.adapters:
            raise UnknownNameError("No such adapter is served; see GET /v1/models.", param="model")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidRequestError(
                "The text holds half of a surrogate pair, which is no Unicode character. "
                "Decode it as UTF-8 or UTF-16 before sending it.",
                param="text",
            ) from None
        longest = max(one.longest for one in asked)
        # A label read generates one token; an explanation up to its limit.
        generated = 1 if options.explain is Explain.NEVER else options.explanation_tokens
        budget = self._engine.max_model_len - longest - generated
        shared = encoder.shared(text)
        if len(shared) <= budget:  # as nearly always: no reason to count its tokens once more
            return Fitted(text, ()), shared
        fitted = fit(text, options.truncation, budget, lambda part: len(encoder.shared(part)))
        return fitted, encoder.shared(fitted.text)

    async def _answer(self, run: _Run, asked: Asked) -> Answer:
        """Take one question all the way."""
        question = asked.question
        with phase("label_read"):
            distribution = await self._distribution(run, asked, run.shared, question.id)
        decision = decide(question, distribution, run.policy)
        answer = Answer(question, distribution, decision)
        run.last_label_at = time.perf_counter()
        run.first_label_at = run.first_label_at or run.last_label_at
        run.events.put_nowait(Labelled(answer))
        if decision.label is None or not _explains(run.options.explain, question, decision.label):
            return answer
        run.explained_from = run.explained_from or time.perf_counter()
        explanation = await self._explain(run, asked, decision.label)
        run.last_explained_at = time.perf_counter()
        return Answer(question, distribution, decision, explanation)

    async def _distribution(
        self, run: _Run, asked: Asked, shared: tuple[int, ...], suffix: str
    ) -> Distribution:
        """Read a question's labels after a shared part and calibrate them."""
        prompt = shared + asked.tail.tokens
        scoring = run.options.scoring
        trie = asked.tries[scoring]
        reads = await _gather(
            self._engine.read(
                prompt + branch.path, branch.children, run.context, f"{suffix}-{index}"
            )
            for index, branch in enumerate(trie.branches)
        )
        for read in reads:
            run.usage += Usage(read.prompt_tokens, read.cached_tokens)
            run.queued = max(run.queued, read.queued)
        labels = trie.read([read.logprobs for read in reads])
        calibration = self._calibration if scoring is Scoring.BRANCHES else Calibration()
        return Distribution(
            calibration.apply(asked.question, labels.log_probabilities),
            labels.label_mass,
            labels.log_probabilities,
        )

    async def _explain(self, run: _Run, asked: Asked, label: str) -> Explanation:
        """Generate on from the decided answer, find its evidence and read it on its own."""
        question = asked.question
        prompt = run.shared + asked.tail.tokens + asked.tail.continuations[label]
        text, finish_reason, tokens, last = "", "length", 0, None
        chunks = self._engine.generate(
            prompt,
            run.options.explanation_tokens,
            run.context,
            f"{question.id}-explanation",
            quote_grammar(run.seen),
        )
        with phase("explanation"):
            async with aclosing(chunks):
                async for chunk in chunks:
                    # A response begins with the space after "Reasoning:".
                    delta = chunk.text if text else chunk.text.lstrip()
                    text += delta
                    last, tokens = chunk, chunk.tokens
                    finish_reason = chunk.finish_reason or finish_reason
                    if delta:
                        run.events.put_nowait(ExplanationDelta(question, delta))
        if last is not None:
            run.usage += Usage(last.prompt_tokens, last.cached_tokens, tokens)
        text = text.rstrip()
        consistency = None
        # The paper's consistency metric at run time: the same question, asked of the explanation in
        # the place of the post.
        alone = self._encoder.shared(text) if run.options.consistency and text else ()
        if alone and len(alone) + asked.longest <= self._engine.max_model_len:
            with phase("consistency"):
                read = await self._distribution(run, asked, alone, f"{question.id}-consistency")
            consistency = read.probabilities[label]
        return Explanation(text, finish_reason, tokens, find_evidence(text, run.text), consistency)


def _explains(explain: Explain, question: Question, label: str) -> bool:
    """Whether a decision is to be explained."""
    if explain is Explain.POSITIVE:
        return label != question.negative
    return explain is Explain.ALWAYS


async def _gather(coroutines: Iterable[Coroutine[Any, Any, TokenRead]]) -> list[TokenRead]:
    """Run all reads and return them; when one fails, the others are stopped before it raises."""
    tasks = [asyncio.create_task(one) for one in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _timings(run: _Run) -> Timings:
    now = time.perf_counter()
    return Timings(
        tokenize=run.read_from - run.started,
        queue=run.queued,
        label_read=run.last_label_at - run.read_from,
        explanation=max(0.0, run.last_explained_at - run.explained_from),
        first_label=run.first_label_at - run.started,
        total=now - run.started,
    )
