"""Floor 6: the pyfuse3 adapter: translate, delegate, one error boundary. Imported by app only."""
