"""A local AWS on which deployed functions really run; see README.md."""
