"""First filters that whiten the patches of the training images: their outputs are uncorrelated, of one variance."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError

EPS = 5e-4  # added to the eigenvalues, so that directions of almost no variance do not amplify noise (Jordan 2024)


def whitening_filters(images: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Filters (C * height * width, C, height, width): eigenvectors of the patches over the root of their eigenvalues.

    `images` (N, C, H, W) are normalized as for the network. The eigenvectors are sorted by rising eigenvalue, each with
    its largest entry positive, so that the filters are a function of the images (Page 2018; Jordan 2024, section 3.2).
    """
    channels = images.shape[1]
    patches = images.unfold(2, kernel[0], 1).unfold(3, kernel[1], 1).permute(0, 2, 3, 1, 4, 5)
    flat = patches.reshape(-1, channels * kernel[0] * kernel[1]).double()
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    scaled = vectors * largest.sign() / (values + EPS).sqrt()
    return scaled.T.reshape(-1, channels, *kernel).float()


@torch.no_grad()
def whiten(module: nn.Module, path: str, images: Tensor) -> None:
    """Set the convolution at `path` to the filters that whiten `images` (N, C, H, W), and to their negatives.

    Raises UsageError if `path` is not a 2-d convolution, or if it cannot hold both signs of each filter.
    """
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)}
    if path not in layers:
        first = next(iter(layers), "none")
        raise UsageError(f"whiten: expected the path of a 2-d convolution such as {first}, received {path!r}")
    layer = layers[path]
    filters = whitening_filters(images, (layer.kernel_size[0], layer.kernel_size[1]))
    both = torch.cat([filters, -filters])
    if layer.weight.shape != both.shape:
        raise UsageError(
            f"whiten: {path} has filters of shape {tuple(layer.weight.shape)}; to whiten these images it needs "
            f"{tuple(both.shape)}: one for each number of a patch, and its opposite"
        )
    layer.weight.copy_(both)
