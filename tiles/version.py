"""The version of crossmesh, known also where it was not installed but shipped."""

VERSION = "0.1.0"
