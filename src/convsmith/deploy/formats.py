"""What a run can be exported to, with the file that it makes in the run's `export` folder."""

FORMATS = {
    "onnx": "model.onnx",
    "bundle": "bundle.safetensors",
    "torchvision": "torchvision.safetensors",
    "timm": "timm.safetensors",
}
