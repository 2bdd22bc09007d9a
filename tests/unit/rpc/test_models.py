"""What callers are told of a model, in whatever state it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from khulasa.v1 import model_pb2
from khulasa_server.bundles import store
from khulasa_server.config import Settings
from khulasa_server.errors import InvalidRequestError, NotFoundError, Reason
from khulasa_server.rpc.models import ModelServicer
from khulasa_server.tasks.catalog import Catalog, ModelState

if TYPE_CHECKING:
    from khulasa_server.rpc.handlers import Gate

MANIFEST: Final = store.embedded()[0].manifest


@pytest.fixture
def catalog() -> Catalog:
    """Models a to e, not in this order."""
    catalog = Catalog()
    for name in "cebda":
        catalog.add(MANIFEST.model_copy(update={"name": name}))
    return catalog


@pytest.fixture
def servicer(catalog: Catalog) -> ModelServicer:
    """Over the catalog; its handlers' gate is not needed."""
    return ModelServicer(catalog, Settings(engine="scripted"), cast("Gate", None))


async def page(servicer: ModelServicer, **fields: Any) -> model_pb2.ListModelsResponse:  # noqa: ANN401 - of the request
    """One page."""
    request = model_pb2.ListModelsRequest(**fields)
    return await servicer.list_models(request.SerializeToString(), 0.0)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 6, 1_000_000])
async def test_pages_together_are_the_list(servicer: ModelServicer, size: int) -> None:
    """Whatever the size, following the tokens gives each model once, by name."""
    names, token = "", ""
    for _ in range(10):
        answer = await page(servicer, page_size=size, page_token=token)
        names += "".join(model.name for model in answer.models)
        token = answer.next_page_token
        if not token:
            break
    assert names == "abcde"


async def test_a_token_outlives_its_model(servicer: ModelServicer, catalog: Catalog) -> None:
    """A model that goes while a caller turns pages hides none of the others."""
    first = await page(servicer, page_size=2)
    del catalog.models["b"]
    rest = await page(servicer, page_token=first.next_page_token)
    assert [model.name for model in rest.models] == ["c", "d", "e"]


async def test_a_negative_page_size_is_refused(servicer: ModelServicer) -> None:
    """Zero is the default; less is a mistake."""
    with pytest.raises(InvalidRequestError) as caught:
        await page(servicer, page_size=-1)
    assert (caught.value.reason, caught.value.field) == (Reason.OPTION_INVALID, "page_size")


@pytest.mark.parametrize("state", ModelState)
async def test_every_state_is_told(
    servicer: ModelServicer, catalog: Catalog, state: ModelState
) -> None:
    """Also of a model that is not loaded, with the reason; READY is SERVING on the wire."""
    catalog.models["a"].state = state
    catalog.models["a"].detail = "why"
    request = model_pb2.GetModelRequest(name="a")
    model = (await servicer.get_model(request.SerializeToString(), 0.0)).model
    said = "SERVING" if state is ModelState.READY else state.name
    assert model_pb2.ModelState.Name(model.state) == f"MODEL_STATE_{said}"
    assert (model.state_detail, model.engine, model.compute_type) == ("why", "scripted", "")


async def test_every_field_is_filled(servicer: ModelServicer) -> None:
    """A field that is added to the contract and forgotten here is a failed test."""
    request = model_pb2.GetModelRequest(name="a")
    model = (await servicer.get_model(request.SerializeToString(), 0.0)).model
    empty = {field.name for field in model.DESCRIPTOR.fields} - {
        field.name for field, _ in model.ListFields()
    }
    assert empty == {"compute_type", "state_detail"}
    limits = {field.name for field, _ in model.limits.ListFields()}
    assert limits == {field.name for field in model.limits.DESCRIPTOR.fields}


async def test_an_unknown_model_is_not_found(servicer: ModelServicer) -> None:
    """With the names that there are."""
    request = model_pb2.GetModelRequest(name="z")
    with pytest.raises(NotFoundError) as caught:
        await servicer.get_model(request.SerializeToString(), 0.0)
    assert caught.value.field == "name"
    assert set(caught.value.metadata["candidates"].split(", ")) == set("abcde")
