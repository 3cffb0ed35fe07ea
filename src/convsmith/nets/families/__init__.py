"""The families of networks: one file each, with the function that builds it and the table of its variants."""
