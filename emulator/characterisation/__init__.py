"""Plots for papers: vector output, and every line told apart without colour."""
