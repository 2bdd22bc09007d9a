"""Bundles are replaced while the server works, and no caller notices but by the digest."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from blockbuster import blockbuster_ctx

from khulasa.v1 import common_pb2, model_pb2, translation_pb2
from khulasa_server.bundles.manifest import MANIFEST_NAME, digest_of
from khulasa_server.engines.ctranslate2 import CTranslate2Engine
from khulasa_server.tasks import reloads as looks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.integration.conftest import Gate, Service

    from khulasa_server.engines.scripted import ScriptedEngine

    Serve = Callable[..., AbstractAsyncContextManager[Service]]
    Scripted = Callable[..., dict[str, ScriptedEngine]]

SENTENCE: Final = "ذهب الولد إلى المدرسة"
MODEL: Final = "checkpoint"
TINY: Final = "tests/data/engines/marian/bundle"
SLOTS: Final = 2


@dataclass
class Site:
    """Releases of a bundle below one directory, `current` a symlink to the one that serves."""

    root: Path
    made: list[str] = field(default_factory=list)

    @property
    def current(self) -> Path:
        """What the server is told."""
        return self.root / "current"

    def release(self, **changes: Any) -> Path:  # noqa: ANN401 - fields of a manifest
        """A copy of the tiny bundle whose manifest differs; its digest is right."""
        directory = self.root / f"release-{len(self.made)}"
        shutil.copytree(self.root.joinpath("origin"), directory)
        file = directory / MANIFEST_NAME
        content = json.loads(file.read_bytes())
        content["source"]["revision"] = directory.name
        content |= changes
        content["digest"] = digest_of(content)
        file.write_text(json.dumps(content), "utf-8")
        self.made.append(content["digest"])
        return directory

    def point(self, directory: Path) -> None:
        """Let `current` lead elsewhere, by one rename."""
        link = self.root / "next"
        link.symlink_to(directory)
        link.replace(self.current)


@pytest.fixture
def site(tmp_path: Path, pytestconfig: pytest.Config) -> Site:
    """A first release that is current."""
    shutil.copytree(pytestconfig.rootpath / TINY, tmp_path / "origin")
    site = Site(tmp_path)
    site.point(site.release())
    return site


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than a server does."""
    monkeypatch.setattr(looks, "LOOK_SECONDS", 0.1)


@asynccontextmanager
async def serving(serve: Serve, site: Site, **settings: Any) -> AsyncIterator[Service]:  # noqa: ANN401 - any setting
    """A server of the current release on the real engine."""
    fixed = {"engine": "ctranslate2", "models": (str(site.current),), "threads": f"{SLOTS}x1!"}
    async with serve(**{**fixed, **settings}) as service:
        yield service


async def described(service: Service) -> model_pb2.Model:
    """What GetModel says."""
    request = model_pb2.GetModelRequest(name=MODEL)
    return (await service.models.GetModel(request, timeout=30)).model


async def reloads(service: Service, result: str) -> int:
    """How many reloads had a result."""
    name = f'khulasa_model_reloads_total{{model="{MODEL}",result="{result}"}} '
    lines = (await service.get("/metrics")).body.splitlines()
    (value,) = (line.removeprefix(name) for line in lines if line.startswith(name))
    return int(float(value))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, but not for ever."""
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 - of a server, which tells nobody
            await asyncio.sleep(0.02)


async def until_reloaded(service: Service, result: str, times: int = 1) -> None:
    """Wait until so many reloads have had a result."""

    async def done() -> bool:
        return await reloads(service, result) == times

    await until(done)


@dataclass
class Load:
    """Callers of every kind of method, each without a pause; a call that fails fails the test."""

    service: Service
    texts: tuple[str, ...]
    digests: list[list[str]] = field(default_factory=list)
    """Of the answers of each caller, in order."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def unary(self, mode: int) -> None:
        """Calls one after the other."""
        seen = self._caller()
        options = common_pb2.Options(cache_mode=mode)  # type: ignore[arg-type]  # an enum's value
        while not self.over.is_set():
            answer = await self.service.translate(*self.texts, options=options)
            seen.extend(each.model.digest for each in answer.translations)

    async def streams(self) -> None:
        """Streams one after the other."""
        seen = self._caller()
        request = translation_pb2.StreamTranslateRequest(text="\n".join(self.texts))
        while not self.over.is_set():
            stream = self.service.translation.StreamTranslate(request, timeout=60)
            *_, last = [event async for event in stream]
            seen.append(last.summary.model.digest)

    async def bulk(self) -> None:
        """One stream for the whole time."""
        seen = self._caller()

        async def items() -> AsyncIterator[translation_pb2.BulkTranslateRequest]:
            number = 0
            while not self.over.is_set():
                number += 1
                yield translation_pb2.BulkTranslateRequest(
                    id=str(number), content=f"{self.texts[0]} {number}"
                )

        async for answer in self.service.translation.BulkTranslate(items()):
            assert answer.WhichOneof("result") == "translation", answer.error
            seen.append(answer.translation.model.digest)

    def _caller(self) -> list[str]:
        self.digests.append([])
        return self.digests[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All callers at work; every one must have been answered by both models."""
        async with asyncio.TaskGroup() as group:
            for mode in (common_pb2.CACHE_MODE_USE, common_pb2.CACHE_MODE_BYPASS):
                group.create_task(self.unary(mode))
            group.create_task(self.streams())
            group.create_task(self.bulk())
            yield
            self.over.set()

    async def until_all_see(self, digest: str) -> None:
        """Wait until the newest answer of each caller is of a model."""

        async def seen() -> bool:
            return all(each[-1:] == [digest] for each in self.digests)

        await until(seen)


@pytest.fixture
def concurrency(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of engine calls that run, at the start of each, over all engines."""
    lock, running, seen = threading.Lock(), [0], list[int]()

    def counted(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - passed on
            with lock:
                running[0] += 1
                seen.append(running[0])
            try:
                return inner(*arguments, **named)
            finally:
                with lock:
                    running[0] -= 1

        return call

    for name in ("generate", "score"):
        monkeypatch.setattr(CTranslate2Engine, name, counted(getattr(CTranslate2Engine, name)))
    return seen


async def test_a_swapped_symlink_switches_models_under_load(
    serve: Serve, site: Site, concurrency: list[int], logged: list[dict[str, Any]]
) -> None:
    """No call fails, answers turn from old to new once, health stays, engines keep to their slots.

    Nothing blocks the event loop meanwhile, nothing of the old model is left, and what was cached
    of it is no answer any more.
    """
    async with serving(serve, site) as service:
        watch, health = service.watch(), list[str]()
        watching = asyncio.create_task(collect(watch, health))
        load = Load(service, (SENTENCE, "كيف حالك اليوم؟"))
        concurrency.clear()
        with blockbuster_ctx("khulasa_server"):
            async with load.running():
                await load.until_all_see(site.made[0])
                new = await asyncio.to_thread(site.release)
                await asyncio.to_thread(site.point, new)
                await load.until_all_see(site.made[1])
                await until_closed(logged)
        for seen in load.digests:
            assert seen == sorted(seen, key=site.made.index), "an old answer after a new one"
            assert set(seen) == set(site.made)
        assert max(concurrency) <= SLOTS
        await check_new(service, site)
        watching.cancel()
        assert health == ["SERVING"]
    assert not [line for line in logged if line["log_level"] in {"error", "critical"}]


async def collect(watch: AsyncIterator[str], into: list[str]) -> None:
    """Keep what a watch says."""
    async for each in watch:
        into.append(each)  # noqa: PERF401 - seen while the watch goes on


async def until_closed(logged: list[dict[str, Any]], times: int = 1) -> None:
    """Wait until so many old engines were closed."""

    async def closed() -> bool:
        return [line["event"] for line in logged].count("model_closed") == times

    await until(closed)


async def check_new(service: Service, site: Site) -> None:
    """The second release serves, and nothing but its counters tells that there was a first."""
    model = await described(service)
    assert (model.digest, model.revision) == (site.made[1], "release-1")
    assert model.state == model_pb2.MODEL_STATE_SERVING
    listed = await service.models.ListModels(model_pb2.ListModelsRequest(), timeout=30)
    assert [each.digest for each in listed.models] == [site.made[1]]
    metrics = (await service.get("/metrics")).body
    infos = [line for line in metrics.splitlines() if line.startswith("khulasa_model_info{")]
    assert len(infos) == 1
    assert f'digest="{site.made[1]}"' in infos[0]
    assert f'khulasa_model_load_seconds{{model="{MODEL}"}}' in metrics
    assert await reloads(service, "success") == 1
    assert await reloads(service, "failure") == 0
    assert "#" not in "".join(service.statistics().lanes)
    assert list(service.statistics().lanes) == [MODEL]


async def test_no_cached_answer_survives_its_model(serve: Serve, site: Site) -> None:
    """A text that the old model answered from the cache is computed anew by the new one."""
    async with serving(serve, site) as service:
        hits = [(await service.translate(SENTENCE)).usage.cache_hits > 0 for _ in range(2)]
        assert hits == [False, True]
        site.point(site.release())
        await until_reloaded(service, "success")
        hits = [(await service.translate(SENTENCE)).usage.cache_hits > 0 for _ in range(2)]
        assert hits == [False, True]


def corrupt(release: Path) -> None:
    """Cut the weights short."""
    weights = release / "model" / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-100])


def forge(release: Path) -> None:
    """Another score is said to have been recorded, and the digests are right."""
    file = release / MANIFEST_NAME
    content = json.loads(file.read_bytes())
    content["golden"][0]["score"] -= 1
    content["digest"] = digest_of(content)
    file.write_text(json.dumps(content), "utf-8")


def rename(release: Path) -> None:
    """Another model."""
    file = release / MANIFEST_NAME
    content = json.loads(file.read_bytes()) | {"name": "another"}
    content["digest"] = digest_of(content)
    file.write_text(json.dumps(content), "utf-8")


def garble(release: Path) -> None:
    """No manifest at all."""
    (release / MANIFEST_NAME).write_text("{", "utf-8")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (corrupt, "model.bin"),
        (forge, "moved by"),
        (rename, "holds another, which can translate"),
        (garble, "manifest.json cannot be read"),
    ],
)
async def test_a_bad_bundle_keeps_the_old_one(
    serve: Serve,
    site: Site,
    logged: list[dict[str, Any]],
    damage: Callable[[Path], None],
    why: str,
) -> None:
    """Truncated, with other golden outputs, of another model, unreadable: nothing changes."""
    async with serving(serve, site) as service:
        bad = site.release()
        damage(bad)
        site.point(bad)
        await until_reloaded(service, "failure")
        model = await described(service)
        assert model.digest == site.made[0]
        assert model.state == model_pb2.MODEL_STATE_SERVING
        assert why in model.state_detail
        (told,) = (line for line in logged if line["event"] == "model_kept")
        assert why in told["why"]
        assert await service.health() == "SERVING"
        answer = await service.translate(SENTENCE)
        assert answer.translations[0].model.digest == site.made[0]
        assert list(service.statistics().lanes) == [MODEL]
        assert await reloads(service, "success") == 0
        site.point(site.release())
        await until_reloaded(service, "success")
        model = await described(service)
        assert (model.digest, model.state_detail) == (site.made[-1], "")


async def test_a_projected_volume_is_followed(serve: Serve, site: Site) -> None:
    """Kubernetes keeps the directory and swaps `..data`, to which all its entries lead."""
    volume = site.root / "volume"
    volume.mkdir()
    first, second = site.root / "release-0", site.release()
    for entry in first.iterdir():
        (volume / entry.name).symlink_to(f"..data/{entry.name}")
    (volume / "..data").symlink_to(first)
    async with serving(serve, site, models=(str(volume),)) as service:
        assert (await described(service)).digest == site.made[0]
        (volume / "..next").symlink_to(second)
        (volume / "..next").replace(volume / "..data")
        await until_reloaded(service, "success")
        assert (await described(service)).digest == site.made[1]
        answer = await service.translate(SENTENCE)
        assert answer.translations[0].model.digest == site.made[1]


async def test_a_renamed_directory_is_followed(serve: Serve, site: Site) -> None:
    """Another directory at the same path is another bundle, with other languages and limits."""
    directory = site.root / "served"
    site.release().rename(directory)
    new = site.release(source_language_codes=["ar", "fa"])
    async with serving(serve, site, models=(str(directory),)) as service:
        assert list((await described(service)).source_language_codes) == ["ar"]
        directory.rename(site.root / "old")
        new.rename(directory)
        await until_reloaded(service, "success")
        assert list((await described(service)).source_language_codes) == ["ar", "fa"]
        answer = await service.translate(SENTENCE, source_language_code="fa")
        assert answer.translations[0].source_language_code == "fa"


async def test_what_is_written_in_place_waits_for_a_request(serve: Serve, site: Site) -> None:
    """A copy that is under way is left alone; once asked, the server takes it over."""
    directory = site.root / "release-0"
    async with serving(serve, site) as service:
        new = site.release()
        for name in (MANIFEST_NAME, "source.spm"):
            (directory / name).write_bytes((new / name).read_bytes())
        await asyncio.sleep(0.5)
        assert (await described(service)).digest == site.made[0]
        assert await reloads(service, "failure") == 0
        service.server.request_reload()
        await until_reloaded(service, "success")
        assert (await described(service)).digest == site.made[1]
        service.server.request_reload()
        await asyncio.sleep(0.5)
        assert await reloads(service, "success") == 1, "nothing has changed since"


async def test_a_model_that_could_not_be_loaded_is_tried_again(serve: Serve, site: Site) -> None:
    """Files that were mended in place make it serve once the server is asked to look."""
    weights = site.root / "release-0" / "model" / "model.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    async with serving(serve, site) as service:
        assert (await described(service)).state == model_pb2.MODEL_STATE_FAILED
        assert await service.health() == "NOT_SERVING"
        weights.write_bytes(whole)
        service.server.request_reload()
        await until_reloaded(service, "success")
        assert await service.health() == "SERVING"
        assert (await service.translate(SENTENCE)).translations[0].text


async def test_work_in_flight_ends_on_the_old_engine(
    script: Scripted, serve: Serve, site: Site, gate: Gate, logged: list[dict[str, Any]]
) -> None:
    """A held call keeps its engine open; the next call goes to the new one; then the old closes."""
    engines = script(before=gate.hold)
    async with serving(serve, site, engine="scripted") as service:
        old = engines[MODEL]
        held = asyncio.create_task(service.translate(SENTENCE))
        await asyncio.to_thread(gate.wait)
        site.point(site.release())
        await until_reloaded(service, "success")
        new = engines[MODEL]
        late = asyncio.create_task(service.translate("كتاب"))
        await asyncio.to_thread(gate.wait)
        assert (len(old.calls), len(new.calls)) == (1, 1)
        assert not [line for line in logged if line["event"] == "model_closed"]
        gate.opened.set()
        answers = [(await call).translations[0].model.digest for call in (held, late)]
        assert answers == site.made
        await until_closed(logged)
        assert list(service.statistics().lanes) == [MODEL]


async def test_requests_during_a_reload_become_one(
    script: Scripted, serve: Serve, site: Site
) -> None:
    """However often it is asked while it loads, the server looks once more, and finds the last."""
    entered, go, count = threading.Semaphore(0), threading.Event(), [0]

    def loading(_name: str) -> None:
        count[0] += 1
        if count[0] == 2:
            entered.release()
            assert go.wait(30)

    script(loading=loading)
    async with serving(serve, site, engine="scripted") as service:
        site.point(site.release())
        service.server.request_reload()
        await asyncio.to_thread(entered.acquire)
        site.point(site.release())
        for _ in range(5):
            service.server.request_reload()
        await service.assert_well()
        go.set()
        await until_reloaded(service, "success", 2)
        await asyncio.sleep(0.3)
        assert (await described(service)).digest == site.made[2]
        assert count[0] == 3


async def test_a_drain_ends_a_reload(
    script: Scripted, serve: Serve, site: Site, logged: list[dict[str, Any]]
) -> None:
    """One under way is given up and is no failure of the bundle; one asked for is ignored."""
    entered, go, count = threading.Semaphore(0), threading.Event(), [0]

    def loading(_name: str) -> None:
        count[0] += 1
        if count[0] == 2:
            entered.release()
            assert go.wait(30)

    engines = script(loading=loading)
    async with serving(serve, site, engine="scripted") as service:
        site.point(site.release())
        await asyncio.to_thread(entered.acquire)
        service.server.request_stop()
        await service.server.drain()
        service.server.request_reload()
        go.set()
        await service.server.stop()
        assert is_closed(engines[MODEL])
    events = [line["event"] for line in logged]
    assert events.count("reload_ignored") == 1
    kept = next(line for line in logged if line["event"] == "model_kept")
    assert kept["why"] == "the server is stopping"
    assert "model_replaced" not in events


def is_closed(engine: ScriptedEngine) -> bool:
    """Whether an engine refuses work."""
    try:
        engine.warm_up()
    except Exception as error:  # noqa: BLE001 - asked for its text
        return "closed" in str(error)
    return False
