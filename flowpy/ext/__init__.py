"""Adapters to other libraries, each imported late: what to install stands in each module."""
