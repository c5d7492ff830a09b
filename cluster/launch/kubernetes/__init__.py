"""Kubernetes: a training as a RayJob of the KubeRay operator, through kubectl."""
