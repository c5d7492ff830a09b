"""Devices from measurements: reading tables, fitting mean responses and noise."""
