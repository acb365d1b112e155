"""One module a format; each streams a raw file as Arrow record batches."""
