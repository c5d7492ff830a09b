"""Clusters by config: starting nodes here, and generating what starts them elsewhere."""
