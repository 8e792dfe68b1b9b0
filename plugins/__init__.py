"""The built-in domains, one folder each; they come in by the door that anybody may use."""
