"""What holds for all tests."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _frames_are_kept_elsewhere(tmp_path_factory):
    """No test writes to the user's cache of frames; those of one session share what they made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKEPORT_CACHE", str(tmp_path_factory.mktemp("frames")))
        yield
