import torch

from .. import InterpolationMode


def resize(image, size, interpolation=InterpolationMode.BILINEAR, antialias=True):
    batch = image[None] if image.ndim == 3 else image
    scaled = torch.nn.functional.interpolate(batch.float(), size, mode=interpolation.value, antialias=antialias)
    scaled = scaled.round().clamp(0, 255).to(image.dtype) if image.dtype == torch.uint8 else scaled
    return scaled[0] if image.ndim == 3 else scaled


def normalize(image, mean, std, inplace=False):
    mean, std = (torch.as_tensor(numbers).view(-1, 1, 1) for numbers in (mean, std))
    return (image - mean) / std
