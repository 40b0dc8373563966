"""What every test shares: how hard Hypothesis tries, a place to work in, and no thread left over."""

import os
import shutil
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", deadline=None, max_examples=50, suppress_health_check=_slow)
settings.register_profile("ci", parent=settings.get_profile("dev"), max_examples=200)
settings.register_profile("thorough", parent=settings.get_profile("dev"), max_examples=3000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

WORK = Path(__file__).parents[1] / ".cache" / "tests"


@pytest.fixture
def workspace():
    """A fresh folder inside the repository: editors and watchers treat the system's own otherwise."""
    WORK.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=WORK))
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def no_thread_left_over():
    """Fail a test that leaves a thread running; those of asyncio's own pool end with the loop."""
    before = set(threading.enumerate())
    yield
    left = [
        t for t in threading.enumerate() if t not in before and not t.name.startswith("asyncio")
    ]
    for thread in left:
        thread.join(timeout=5)
    assert not [thread.name for thread in left if thread.is_alive()]
