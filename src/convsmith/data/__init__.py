"""Images and targets: sources and their cards, splits, preprocessing, loaders, and augmentation of batches."""
