"""The framework: hook specifications, registry, configuration, engine and trainer."""
