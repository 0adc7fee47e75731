"""From nothing to an installation: `migrate`, `key`, `org`, `client`, `subject`, `staff`, and every refusal on the way."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from broker.db import Database
from broker.installation import Installation
from broker.web.signin.accounts import Credentials, sign_in
from datetime import timedelta
from tests.cli.conftest import Mydata, run
from tests.oauth.world import Any  # noqa: F401 - placeholder
