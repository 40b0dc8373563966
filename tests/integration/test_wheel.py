"""What is shipped works outside the checkout."""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_built_wheel_runs_the_demo_in_an_empty_environment(workspace):
    """A wheel, an empty environment, another folder: `hitl demo --auto` runs to its end."""
    wheels = workspace / "wheels"
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=100)
    (wheel,) = wheels.glob("hitl_vault-*.whl")
    empty = workspace / "empty"
    venv.create(empty, with_pip=True)
    pip = [str(empty / "bin" / "python"), "-m", "pip", "install", "--quiet", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True, timeout=100)
    bare = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    elsewhere = workspace / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [str(empty / "bin" / "hitl"), "demo", "--auto"],
        cwd=elsewhere,
        env=bare,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "paid" in done.stdout.lower()
