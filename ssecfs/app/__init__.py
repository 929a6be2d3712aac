"""Floor 7: options, assembly, one file per command. Imported by nothing but __main__."""
