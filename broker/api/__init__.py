"""JSON for machines: what a recipient says about deliveries, the catalogue, the log, the audit."""
