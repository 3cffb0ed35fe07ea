"""Images and targets: sources with a card, splits, the preprocessing record, loaders and augmentation of batches."""
