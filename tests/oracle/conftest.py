"""Everything here runs real Lava, if its environment is there."""

import pytest
from spikeport.export import lava


@pytest.fixture(autouse=True)
def _lava_is_there():
    if not lava.available():
        pytest.skip(f"no Lava environment: {lava.WAY_OUT}")
