"""Training of the demo's picture half: tokenizers, autoencoder, tiny Flux, the two CLIPs, and their export."""
