"""What vLLM has compiled is loaded at the next start; what cannot be is served as it is."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from service import compiled


def test_a_compiler_and_headers_are_needed(monkeypatch, tmp_path) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text("")
    compiler.chmod(0o755)
    include = tmp_path / "include"
    monkeypatch.setattr(compiled.sysconfig, "get_paths", lambda: {"include": str(include)})
    assert not compiled.can_compile({"CXX": str(compiler)})  # no Python.h
    include.mkdir()
    (include / "Python.h").write_text("")
    assert compiled.can_compile({"CXX": str(compiler)})
    assert not compiled.can_compile({"CXX": str(tmp_path / "none")})


def test_a_function_of_inductor_alone_gets_what_vllm_asks_for() -> None:
    def function() -> None: ...

    class OfVllm:
        def finalize_loading(self, config: object) -> str:
            return "its own"

    def load(one: object) -> object:
        return SimpleNamespace(_artifacts=SimpleNamespace(compiled_fn=one))

    loaded = compiled._finished(load)(function)
    assert loaded._artifacts.compiled_fn.finalize_loading(None) is None
    loaded = compiled._finished(load)(OfVllm())
    assert loaded._artifacts.compiled_fn.finalize_loading(None) == "its own"


class Runner:
    """What of vLLM's runner the warm-up touches."""

    is_pooling_model = False

    def __init__(self, memory: int | None) -> None:
        self.cache_config = SimpleNamespace(kv_cache_memory_bytes=memory)
        self.module = SimpleNamespace(do_not_compile=False)
        self.model = SimpleNamespace(modules=lambda: [object(), self.module])
        self.rows: list[int] = []

    def profile_run(self) -> None:
        self.rows.append(8192)

    def _dummy_run(self, rows: int, *, is_profile: bool) -> None:
        assert is_profile
        self.rows.append(rows)


@pytest.fixture
def log(caplog):
    pytest.importorskip("vllm")
    logger = logging.getLogger("vllm.mentalllama")
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger.name)  # other tests leave vLLM's log quiet
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(("memory", "rows"), [(1, compiled._ROWS), (None, 8192)])
def test_the_first_run_is_short_where_nothing_depends_on_it(log, memory, rows) -> None:
    runner = Runner(memory)
    compiled._shorter(lambda one: one.profile_run())(runner)
    assert runner.rows == [rows]
    runner.profile_run()
    assert runner.rows[-1] == 8192  # vLLM's own again


def test_what_cannot_be_compiled_is_served_as_it_is(log, monkeypatch) -> None:
    stances: list[str] = []
    monkeypatch.setattr("torch.compiler.set_stance", stances.append)

    def warm(runner: Runner) -> None:
        raise RuntimeError("of a compiler")

    runner = Runner(1)
    compiled._shorter(warm)(runner)
    assert runner.module.do_not_compile
    assert stances == ["force_eager"]
    assert "could not be compiled (RuntimeError)" in log.text
    runner.model = SimpleNamespace(modules=lambda: [object()])
    with pytest.raises(RuntimeError):
        compiled._shorter(warm)(runner)  # nothing that was compiled: another fault


def test_whoever_waits_for_the_compiler_is_told(log) -> None:
    assert compiled._announced(lambda found: found)("loaded") == "loaded"
    assert "Compiling" not in log.text
    assert compiled._announced(lambda found: found)(None) is None
    assert "Compiling the model for this processor" in log.text
