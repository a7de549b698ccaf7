"""One ceremony per module; a network of its own for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.networks import NetworkTemplate, World, found_network


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> NetworkTemplate:
    return found_network(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def world(template: NetworkTemplate, tmp_path: Path) -> Iterator[World]:
    with template.open(tmp_path) as opened:
        yield opened
