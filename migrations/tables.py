"""Every table of the program, by importing every module that has one: what the revisions must add up to."""

import broker.oauth.ciba_models
import broker.oauth.models
import broker.oauth.registration_models
import broker.signals.models
import broker.web.signin.models
import consent.ledger.models
import consent.models
import vault.keys.models
import vault.store
from vault.schema import data_metadata, keyring_metadata

METADATA = {"data": data_metadata, "keyring": keyring_metadata}
