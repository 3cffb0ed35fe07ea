"""A network's tree as a torch.nn.Module: layers, initialization, measurements."""
