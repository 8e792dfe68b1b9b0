"""Options and where they come from: signatures, files, the command line."""
