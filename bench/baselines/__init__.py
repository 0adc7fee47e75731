"""What the broker is measured against: ceilings, floors, and the program that one would write first."""
