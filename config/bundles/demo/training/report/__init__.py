"""How good the demo's picture half is, measured on held-out captions: pictures, attributes read from pixels, the CLIPs."""
