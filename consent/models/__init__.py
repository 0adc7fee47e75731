"""Tables of the consent domain. Storage and nothing else; validated objects stand in front of rows."""

from consent.models.collecting import HolderConnection, PendingRecord, SourceLink, SourceProgress
from consent.models.consents import (
    Consent,
    ConsentChange,
    ConsentCompartment,
    ConsentParty,
    ConsentVersion,
    NoticeRevision,
)
from consent.models.deals import Deal, DealMember
from consent.models.deliveries import Decision, Delivery, DeliveryRecord
from consent.models.duties import Duty
from consent.models.notifications import (
    Contact,
    Notification,
    NotificationCursor,
    NotificationPreference,
)
from consent.models.obligations import Obligation
from consent.models.parties import (
    CoHolding,
    EmergencyAccess,
    EmergencyRefusal,
    Representation,
    Shield,
)
from consent.models.people import Organisation, Subject
from consent.models.receipts import Receipt
from consent.models.rights import AbandonedFlow, RightRequest, StatisticsFold

__all__ = [
    "AbandonedFlow",
    "CoHolding",
    "Consent",
    "ConsentChange",
    "ConsentCompartment",
    "ConsentParty",
    "ConsentVersion",
    "Contact",
    "Deal",
    "DealMember",
    "Decision",
    "Delivery",
    "DeliveryRecord",
    "Duty",
    "EmergencyAccess",
    "EmergencyRefusal",
    "HolderConnection",
    "NoticeRevision",
    "Notification",
    "NotificationCursor",
    "NotificationPreference",
    "Obligation",
    "Organisation",
    "PendingRecord",
    "Receipt",
    "Representation",
    "RightRequest",
    "Shield",
    "SourceLink",
    "SourceProgress",
    "StatisticsFold",
    "Subject",
]
