"""Simulated cells: model neurons on a simulated rig."""
