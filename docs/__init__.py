"""What builds the site, beside its pages."""
