"""The command line: one file per noun, and nothing that `import waybill` would load."""
