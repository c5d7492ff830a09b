"""Plots for papers: vector output, and every line distinct without colour."""
