"""The npm libraries, installed once in a test run; where node or npm does not do its part nothing is run."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.flows.conftest import demo

__all__ = ["demo"]

HERE = Path(__file__).parent
PATIENCE = 120


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the flows and the libraries that they use."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not here: openid-client and oauth4webapi were not run")
    folder = tmp_path_factory.mktemp("clients")
    for file in (*HERE.glob("*.mjs"), *HERE.glob("package*.json")):
        shutil.copy(file, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        installed = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not answer: openid-client and oauth4webapi were not run")
    if installed.returncode != 0:
        pytest.skip("npm could not install: openid-client and oauth4webapi were not run")
    return folder
