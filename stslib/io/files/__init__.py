"""Recordings in files: NWB 2, NWB 1 and ABF."""
