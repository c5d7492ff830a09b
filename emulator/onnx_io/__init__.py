"""Networks from and to other programs: ONNX files, PyTorch models and archives of weights."""
