"""The command line. Subcommands import what they need when they run: the operator stays small."""
