"""Which actor hosts which tile. Never changes a bit of the result."""

# Tiles are packed where there would be more actors than this: each costs 60-100 MB of memory and
# 0.4 s of start-up (measured with Ray 2.60 on two cores).
ACTORS_PER_CPU = 8


def place(n_tiles: int, tiles_per_actor: int | str, n_cpus: int) -> tuple[tuple[int, ...], str]:
    """Host of each tile, consecutive tiles together, and what a user should know of it.

    >>> place(5, 2, n_cpus=2)
    ((0, 0, 1, 1, 2), '')
    """
    if tiles_per_actor == "all":
        return (0,) * n_tiles, ""
    notice = ""
    if tiles_per_actor == "auto":
        room = ACTORS_PER_CPU * max(1, n_cpus)
        tiles_per_actor = -(-n_tiles // room)
        if tiles_per_actor > 1:
            notice = (
                f"{n_tiles} tiles are packed {tiles_per_actor} to an actor, since {n_cpus} CPUs "
                f"have room for {room} actors; engine.tiles_per_actor says otherwise"
            )
    return tuple(tile // int(tiles_per_actor) for tile in range(n_tiles)), notice
