"""A device, a layer, a loss and a topology of a package that is not crossmesh."""
