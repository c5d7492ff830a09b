"""Why a run is as accurate as it is: what its checkpoint holds, and rules for what limits it."""
