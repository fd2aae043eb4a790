"""A page to click on: ``python -m mmc_plugin.demo``."""
