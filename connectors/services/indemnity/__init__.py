"""실손보험금 청구: the purpose that an insurer asks under, and the claim computed from what it got."""
