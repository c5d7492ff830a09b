"""``python -m crossmesh``: the command ``crossmesh``."""

from crossmesh.cluster.cli import main

if __name__ == "__main__":
    main()
