"""The neural network as a graph, made of the layers that a config names."""
