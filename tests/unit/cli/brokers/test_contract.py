"""The API server in memory changes specs as the real one does."""

from __future__ import annotations

import pytest

from tests.contract.plugin_contract import PluginContract
from tests.fakes.people import FakePeopleApi


@pytest.fixture
def people() -> FakePeopleApi:
    return FakePeopleApi()


@pytest.fixture
def namespace() -> str:
    return "team"


class TestContract(PluginContract):
    pass
